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
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"mlenv/resolve/fetch"
)

// TestSignV4 signs the requests of which AWS's documentation of S3 has the signatures.
func TestSignV4(t *testing.T) {
	keys := awsKeys{ID: "AKIAIOSFODNN7EXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	for query, want := range map[string]string{
		"lifecycle=":          "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
		"max-keys=2&prefix=J": "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
	} {
		r, err := http.NewRequest(http.MethodGet, "https://examplebucket.s3.amazonaws.com/?"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		signV4(r, keys, "us-east-1", time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC))
		if got := r.Header.Get("Authorization"); !strings.HasSuffix(got, "Signature="+want) || !strings.Contains(got, "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date,") {
			t.Errorf("%s: %s", query, got)
		}
	}
}

// services answers as all the services that give credentials do, and refuses what is not asked as they want it.
func services(t *testing.T, key *rsa.PrivateKey) *httptest.Server {
	const aws = `{"AccessKeyId":"fromservice","SecretAccessKey":"hunter2","Token":"session","Expiration":"2026-01-02T13:00:00Z"}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // what is no form has no fields
		form, h := r.PostForm, r.Header
		answers := map[string]struct {
			ok   bool
			body string
		}{
			"/sts/": {form.Get("Action") == "AssumeRoleWithWebIdentity" && form.Get("RoleArn") == "arn:x" && form.Get("WebIdentityToken") == "jwt" && form.Get("RoleSessionName") == "mlenv",
				`<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>fromservice</AccessKeyId><SecretAccessKey>hunter2</SecretAccessKey><SessionToken>session</SessionToken><Expiration>2026-01-02T13:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`},
			"/container":        {h.Get("Authorization") == "pod", aws},
			"/latest/api/token": {r.Method == http.MethodPut && h.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") != "", "imds"},
			"/latest/meta-data/iam/security-credentials/":         {h.Get("X-Aws-Ec2-Metadata-Token") == "imds", "the role\n"},
			"/latest/meta-data/iam/security-credentials/the role": {h.Get("X-Aws-Ec2-Metadata-Token") == "imds", aws},
			"/token":       {validAssertion(form, &key.PublicKey) || form.Get("refresh_token") == "refresh" && form.Get("client_secret") == "hunter2", `{"access_token":"hunter2-token","expires_in":3600}`},
			"/exchange":    {form.Get("subject_token") == "jwt" && form.Get("audience") == "aud", `{"access_token":"hunter2-federated","expires_in":3600}`},
			"/impersonate": {h.Get("Authorization") == "Bearer hunter2-federated" && h.Get("Content-Type") == "application/json", `{"accessToken":"hunter2-token","expireTime":"2026-01-02T13:00:00Z"}`},
			"/computeMetadata/v1/instance/service-accounts/default/token": {h.Get("Metadata-Flavor") == "Google", `{"access_token":"hunter2-token","expires_in":3600}`},
			"/tenant/oauth2/v2.0/token": {form.Get("client_id") == "client" && form.Get("scope") == "https://storage.azure.com/.default" && (form.Get("client_assertion") == "jwt" || form.Get("client_secret") == "hunter2"),
				`{"access_token":"hunter2-token","expires_in":"3600"}`},
		}
		a, known := answers[r.URL.Path]
		if !known || !a.ok {
			w.WriteHeader(400)
			fmt.Fprint(w, `{"error":"invalid_grant","error_description":"hunter2"}`)
			return
		}
		fmt.Fprint(w, a.body)
	}))
	t.Cleanup(s.Close)
	return s
}

// validAssertion reports whether a service account's assertion has its signature.
func validAssertion(form url.Values, key *rsa.PublicKey) bool {
	parts := strings.Split(form.Get("assertion"), ".")
	if len(parts) != 3 {
		return false
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) != nil {
		return false
	}
	var claims struct {
		Issuer string `json:"iss"`
		Scope  string `json:"scope"`
		Issued int64  `json:"iat"`
		Ends   int64  `json:"exp"`
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	return err == nil && json.Unmarshal(data, &claims) == nil && claims.Issuer == "me@project" && claims.Scope == readScope && claims.Issued == noon.Unix() && claims.Ends == noon.Unix()+3600
}

// TestCredentials finds credentials where each cloud's own tools do, and signs with them. "" is an unsigned request.
func TestCredentials(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pemKey, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	if err != nil {
		t.Fatal(err)
	}
	s := services(t, key)
	file := func(text string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(strings.ReplaceAll(text, "URL", s.URL))}
	}
	profiles := fstest.MapFS{
		"home/.aws/credentials": file("[default]\naws_access_key_id=ofdefault\naws_secret_access_key=hunter2\n[work]\naws_access_key_id=ofwork\naws_secret_access_key=hunter2\naws_session_token=hunter2-session\n"),
		"home/.aws/config":      file("[default]\nregion=eu-west-1\n[profile work]\nregion=eu-north-1\n[profile login]\nsso_session=x\n[profile role]\nrole_arn=arn:x\nweb_identity_token_file=/jwt\n"),
		"jwt":                   file("jwt\n"), "pod": file("pod\n"), "json": file(`{"tok":"jwt"}`),
		"sa":       file(`{"type":"service_account","client_email":"me@project","private_key":` + string(pemKey) + `,"token_uri":"URL/token"}`),
		"user":     file(`{"type":"authorized_user","client_id":"c","client_secret":"hunter2","refresh_token":"refresh","token_uri":"URL/token"}`),
		"stale":    file(`{"type":"authorized_user","refresh_token":"gone","token_uri":"URL/token"}`),
		"workload": file(`{"type":"external_account","audience":"aud","token_url":"URL/exchange","credential_source":{"file":"/jwt"}}`),
		"impersonating": file(`{"type":"external_account","audience":"aud","token_url":"URL/exchange","service_account_impersonation_url":"URL/impersonate",` +
			`"credential_source":{"file":"/json","format":{"type":"json","subject_token_field_name":"tok"}}}`),
		"executable": file(`{"type":"external_account","audience":"aud","token_url":"URL/exchange","credential_source":{"executable":{}}}`),
		"nokey":      file(`{"type":"service_account","private_key":"hunter2"}`),
	}
	const azure = "wasbs://cnt@account.blob.core.windows.net/x"
	tests := map[string]struct {
		uri, env string // with URL for that of the services
		want     string // what Authorization begins with
		kind     fetch.Kind
	}{
		"aws variables":        {"s3://bkt/x", "AWS_ACCESS_KEY_ID=id AWS_SECRET_ACCESS_KEY=hunter2", "AWS4-HMAC-SHA256 Credential=id/20260102/eu-west-1/s3/", ""},
		"aws region":           {"s3://bkt/x", "AWS_ACCESS_KEY_ID=id AWS_SECRET_ACCESS_KEY=hunter2 AWS_REGION=sa-east-1", "AWS4-HMAC-SHA256 Credential=id/20260102/sa-east-1/s3/", ""},
		"aws default profile":  {"s3://bkt/x", "", "AWS4-HMAC-SHA256 Credential=ofdefault/20260102/eu-west-1/s3/", ""},
		"aws profile":          {"s3://bkt/x", "AWS_PROFILE=work", "AWS4-HMAC-SHA256 Credential=ofwork/20260102/eu-north-1/s3/", ""},
		"aws unknown profile":  {"s3://bkt/x", "AWS_PROFILE=nope", "", fetch.BadSettings},
		"aws login":            {"s3://bkt/x", "AWS_PROFILE=login", "", fetch.Unsupported},
		"aws bad region":       {"s3://bkt/x", "AWS_REGION=evil.example/", "", fetch.BadSettings},
		"aws bad TLS":          {"s3://bkt/x", "MLFLOW_S3_IGNORE_TLS=hunter2", "", fetch.BadSettings},
		"aws bad endpoint":     {"s3://bkt/x", "MLFLOW_S3_ENDPOINT_URL=minio", "", fetch.BadSettings},
		"aws bad style":        {"s3://bkt/x", "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE=x", "", fetch.BadSettings},
		"aws IRSA":             {"s3://bkt/x", "AWS_ROLE_ARN=arn:x AWS_WEB_IDENTITY_TOKEN_FILE=/jwt AWS_ENDPOINT_URL_STS=URL/sts", "AWS4-HMAC-SHA256 Credential=fromservice/", ""},
		"aws role of profile":  {"s3://bkt/x", "AWS_PROFILE=role AWS_ENDPOINT_URL_STS=URL/sts", "AWS4-HMAC-SHA256 Credential=fromservice/", ""},
		"aws IRSA, refused":    {"s3://bkt/x", "AWS_ROLE_ARN=arn:other AWS_WEB_IDENTITY_TOKEN_FILE=/jwt AWS_ENDPOINT_URL_STS=URL/sts", "", fetch.Denied},
		"aws IRSA, no file":    {"s3://bkt/x", "AWS_ROLE_ARN=arn:x AWS_WEB_IDENTITY_TOKEN_FILE=/nope AWS_ENDPOINT_URL_STS=URL/sts", "", fetch.BadSettings},
		"aws pod":              {"s3://bkt/x", "AWS_SHARED_CREDENTIALS_FILE=/none AWS_CONTAINER_CREDENTIALS_FULL_URI=URL/container AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/pod", "AWS4-HMAC-SHA256 Credential=fromservice/", ""},
		"aws pod, elsewhere":   {"s3://bkt/x", "AWS_SHARED_CREDENTIALS_FILE=/none AWS_CONTAINER_CREDENTIALS_FULL_URI=http://evil.example/container", "", fetch.BadSettings},
		"aws machine":          {"s3://bkt/x", "AWS_SHARED_CREDENTIALS_FILE=/none AWS_EC2_METADATA_SERVICE_ENDPOINT=URL", "AWS4-HMAC-SHA256 Credential=fromservice/", ""},
		"aws no role":          {"s3://bkt/x", "AWS_SHARED_CREDENTIALS_FILE=/none AWS_EC2_METADATA_SERVICE_ENDPOINT=URL/none", "", ""},
		"aws nothing":          {"s3://bkt/x", "AWS_SHARED_CREDENTIALS_FILE=/none AWS_EC2_METADATA_DISABLED=true", "", ""},
		"google account":       {"gs://bkt/x", "GOOGLE_APPLICATION_CREDENTIALS=/sa", "Bearer hunter2-token", ""},
		"google user":          {"gs://bkt/x", "GOOGLE_APPLICATION_CREDENTIALS=/user", "Bearer hunter2-token", ""},
		"google, ended":        {"gs://bkt/x", "GOOGLE_APPLICATION_CREDENTIALS=/stale", "", fetch.Denied},
		"google workload":      {"gs://bkt/x", "GOOGLE_APPLICATION_CREDENTIALS=/workload", "Bearer hunter2-federated", ""},
		"google impersonating": {"gs://bkt/x", "GOOGLE_APPLICATION_CREDENTIALS=/impersonating", "Bearer hunter2-token", ""},
		"google machine":       {"gs://bkt/x", "GCE_METADATA_HOST=HOST", "Bearer hunter2-token", ""},
		"google nothing":       {"gs://bkt/x", "GCE_METADATA_HOST=HOST/none", "", ""},
		"google no file":       {"gs://bkt/x", "GOOGLE_APPLICATION_CREDENTIALS=/nope", "", fetch.BadSettings},
		"google no JSON":       {"gs://bkt/x", "GOOGLE_APPLICATION_CREDENTIALS=/jwt", "", fetch.BadSettings},
		"google no key":        {"gs://bkt/x", "GOOGLE_APPLICATION_CREDENTIALS=/nokey", "", fetch.BadSettings},
		"google program":       {"gs://bkt/x", "GOOGLE_APPLICATION_CREDENTIALS=/executable", "", fetch.Unsupported},
		"azure key":            {azure, "AZURE_STORAGE_ACCESS_KEY=" + accountKey, "SharedKey account:", ""},
		"azure bad key":        {azure, "AZURE_STORAGE_ACCESS_KEY=hunter2!", "", fetch.BadSettings},
		"azure SAS":            {azure, "AZURE_STORAGE_SAS_TOKEN=?sv=1&sig=hunter2", "", ""},
		"azure other account":  {azure, "AZURE_STORAGE_CONNECTION_STRING=AccountName=other;AccountKey=" + accountKey, "", fetch.BadSettings},
		"azure workload":       {azure, "AZURE_TENANT_ID=tenant AZURE_CLIENT_ID=client AZURE_FEDERATED_TOKEN_FILE=/jwt AZURE_AUTHORITY_HOST=URL/", "Bearer hunter2-token", ""},
		"azure secret":         {azure, "AZURE_TENANT_ID=tenant AZURE_CLIENT_ID=client AZURE_CLIENT_SECRET=hunter2 AZURE_AUTHORITY_HOST=URL", "Bearer hunter2-token", ""},
		"azure wrong secret":   {azure, "AZURE_TENANT_ID=tenant AZURE_CLIENT_ID=client AZURE_CLIENT_SECRET=wrong AZURE_AUTHORITY_HOST=URL", "", fetch.Denied},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{}
			for pair := range strings.FieldsSeq(tt.env) {
				k, v, _ := strings.Cut(pair, "=")
				env[k] = strings.NewReplacer("URL", s.URL, "HOST", strings.TrimPrefix(s.URL, "http://")).Replace(v)
			}
			opened, err := Stores(outside(env, profiles), fetch.Options{})[strings.SplitN(tt.uri, ":", 2)[0]](context.Background(), tt.uri)
			var got *http.Request
			if err == nil {
				st := opened.(*store)
				if got, err = st.api.list(context.Background(), st.prefix, ""); err == nil {
					err = st.sign(got)
				}
			}
			var e *fetch.Error
			switch {
			case tt.kind != "":
				if !errors.As(err, &e) || e.Kind != tt.kind || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%v, want %s", err, tt.kind)
				}
			case err != nil:
				t.Error(err)
			default:
				if auth := got.Header.Get("Authorization"); !strings.HasPrefix(auth, tt.want) || tt.want == "" && auth != "" || strings.HasPrefix(auth, "AWS4") && strings.Contains(auth, "hunter2") {
					t.Errorf("signed by %q, want %q", auth, tt.want)
				}
				if sas := strings.Contains(got.URL.RawQuery, "hunter2"); sas != (name == "azure SAS") {
					t.Errorf("the query is %q", got.URL.RawQuery)
				}
			}
		})
	}
}

// TestRenewed fetches what ends shortly before it does, and what has no end once.
func TestRenewed(t *testing.T) {
	now, fetched := noon, 0
	v := &renewed[int]{now: func() time.Time { return now }, fetch: func(context.Context) (int, time.Time, error) {
		fetched++
		return fetched, now.Add(time.Hour), nil
	}}
	for minutes, want := range []int{0: 1, 10: 1, 54: 1, 56: 2, 100: 2, 112: 3} {
		now = noon.Add(time.Duration(minutes) * time.Minute)
		if want == 0 {
			continue
		}
		if got, err := v.get(context.Background()); got != want || err != nil {
			t.Errorf("after %d minutes: %d, %v, want %d", minutes, got, err, want)
		}
	}
	failing := &renewed[int]{now: func() time.Time { return now }, fetch: func(context.Context) (int, time.Time, error) {
		fetched++
		return 0, time.Time{}, errors.New("no")
	}}
	for range 2 {
		if _, err := failing.get(context.Background()); err == nil {
			t.Error("an error was kept as a value")
		}
	}
}
