package bucket

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"mlenv/resolve/fetch"
)

// google finds credentials as Google's Application Default Credentials do (google.auth.default in Python, which MLflow's client uses).
type google struct {
	world   Outside
	service tokenService
}

// Nothing but reading is asked for, whatever the account may do besides.
const (
	readScope   = "https://www.googleapis.com/auth/devstorage.read_only"
	googleToken = "https://oauth2.googleapis.com/token"
)

// googleFile is a file of credentials.
type googleFile struct {
	Type string `json:"type"`
	// Of a service account.
	Email string `json:"client_email"`
	Key   string `json:"private_key"`
	KeyID string `json:"private_key_id"`
	// Of a user, as gcloud auth application-default login writes it.
	Client  string `json:"client_id"`
	Secret  string `json:"client_secret"`
	Refresh string `json:"refresh_token"`

	TokenURI string `json:"token_uri"`
	external
}

// external are the credentials of another identity provider's workload.
type external struct {
	Audience string `json:"audience"`
	Subject  string `json:"subject_token_type"`
	TokenURL string `json:"token_url"`
	// Impersonate is the address that gives a service account's token for the workload's, "" for none.
	Impersonate string `json:"service_account_impersonation_url"`
	Source      struct {
		File   string `json:"file"`
		Format struct {
			Type  string `json:"type"`
			Field string `json:"subject_token_field_name"`
		} `json:"format"`
	} `json:"credential_source"`
}

// signer finds the credentials: the file of GOOGLE_APPLICATION_CREDENTIALS, that of gcloud, those of the machine in Google's cloud
// that mlenv runs on. A file that is named must be there; the others may be missing, and then requests go unsigned.
func (g *google) signer(o fetch.Options) (signer, error) {
	file := strings.TrimSpace(g.world.Env("GOOGLE_APPLICATION_CREDENTIALS"))
	named := file != ""
	if !named && g.world.Home != "" {
		file = filepath.Join(g.world.Home, ".config", "gcloud", "application_default_credentials.json")
	}
	if file != "" {
		data, err := g.world.ReadFile(file)
		switch {
		case err == nil:
			return g.fromFile(data)
		case named || !errors.Is(err, fs.ErrNotExist):
			return nil, bad(fetch.BadSettings, "gs", "the file of Google's credentials cannot be read")
		}
	}
	client, err := machineClient(o)
	if err != nil {
		return nil, err
	}
	machine := g.service
	machine.client = client
	host := strings.TrimSpace(g.world.Env("GCE_METADATA_HOST"))
	if host == "" {
		host = "169.254.169.254"
	}
	address := "http://" + host + "/computeMetadata/v1/instance/service-accounts/default/token"
	return bearer(&renewed[string]{now: g.world.Now, fetch: func(ctx context.Context) (string, time.Time, error) {
		token, until, err := machine.oauth(ctx, tokenCall{address: address, header: map[string]string{"Metadata-Flavor": "Google"}})
		if err != nil {
			return "", time.Time{}, ctx.Err() // not in Google's cloud
		}
		return token, until, nil
	}}), nil
}

// fromFile reads a file of credentials.
func (g *google) fromFile(data []byte) (signer, error) {
	var f googleFile
	if json.Unmarshal(data, &f) != nil {
		return nil, bad(fetch.BadSettings, "gs", "the file of Google's credentials is not JSON")
	}
	if f.TokenURI == "" {
		f.TokenURI = googleToken
	}
	tokens := &renewed[string]{now: g.world.Now}
	switch f.Type {
	case "service_account":
		key, err := parseKey(f.Key)
		if err != nil {
			return nil, err
		}
		tokens.fetch = func(ctx context.Context) (string, time.Time, error) {
			assertion, err := f.assertion(key, g.world.Now())
			if err != nil {
				return "", time.Time{}, err
			}
			return g.service.oauth(ctx, tokenCall{address: f.TokenURI, form: url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}})
		}
	case "authorized_user":
		tokens.fetch = func(ctx context.Context) (string, time.Time, error) {
			return g.service.oauth(ctx, tokenCall{address: f.TokenURI, form: url.Values{
				"grant_type": {"refresh_token"}, "client_id": {f.Client}, "client_secret": {f.Secret}, "refresh_token": {f.Refresh},
			}})
		}
	case "external_account":
		if f.Source.File == "" || f.TokenURL == "" {
			return nil, bad(fetch.Unsupported, "gs-file", "the file of Google's credentials names a workload whose token is not in a file")
		}
		tokens.fetch = func(ctx context.Context) (string, time.Time, error) { return g.exchange(ctx, f.external) }
	default: // such as a program to be run, or a device's login
		return nil, bad(fetch.Unsupported, "gs-file", "the file of Google's credentials is of a type that mlenv does not read")
	}
	return bearer(tokens), nil
}

// parseKey reads a service account's key.
func parseKey(text string) (*rsa.PrivateKey, error) {
	if block, _ := pem.Decode([]byte(text)); block != nil {
		if parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if key, ok := parsed.(*rsa.PrivateKey); ok {
				return key, nil
			}
		}
		if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return key, nil
		}
	}
	return nil, bad(fetch.BadSettings, "gs", "the file of Google's credentials holds no private key")
}

// assertion is what a service account asks for a token with (RFC 7523, signed by RS256).
func (f *googleFile) assertion(key *rsa.PrivateKey, now time.Time) (string, error) {
	part := func(v map[string]any) string {
		data, _ := json.Marshal(v) // strings and numbers always can be
		return base64.RawURLEncoding.EncodeToString(data)
	}
	text := part(map[string]any{"alg": "RS256", "typ": "JWT", "kid": f.KeyID}) + "." +
		part(map[string]any{"iss": f.Email, "scope": readScope, "aud": f.TokenURI, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()})
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", bad(fetch.BadSettings, "gs", "the key in the file of Google's credentials signs nothing")
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// exchange gives the token of another provider's workload for one of Google's (RFC 8693).
func (g *google) exchange(ctx context.Context, f external) (string, time.Time, error) {
	data, err := g.world.ReadFile(f.Source.File)
	if err != nil {
		return "", time.Time{}, bad(fetch.BadSettings, "gs", "the file with the workload's token cannot be read")
	}
	subject := strings.TrimSpace(string(data))
	if f.Source.Format.Type == "json" {
		var fields map[string]any
		_ = json.Unmarshal(data, &fields) // which leaves no field
		subject, _ = fields[f.Source.Format.Field].(string)
	}
	scope := readScope
	if f.Impersonate != "" {
		scope = "https://www.googleapis.com/auth/cloud-platform" // which that service wants
	}
	token, until, err := g.service.oauth(ctx, tokenCall{address: f.TokenURL, form: url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "audience": {f.Audience}, "scope": {scope},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "subject_token": {subject}, "subject_token_type": {f.Subject},
	}})
	if err != nil || f.Impersonate == "" {
		return token, until, err
	}
	data, err = g.service.ask(ctx, tokenCall{
		address: f.Impersonate, json: `{"scope":["` + readScope + `"]}`, header: map[string]string{"Authorization": "Bearer " + token},
	})
	if err != nil {
		return "", time.Time{}, err
	}
	var got struct {
		Token string    `json:"accessToken"`
		Until time.Time `json:"expireTime"`
	}
	if json.Unmarshal(data, &got) != nil || got.Token == "" {
		return "", time.Time{}, g.service.unreadable()
	}
	return got.Token, got.Until, nil
}
