package bucket

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mlenv/resolve/fetch"
	"mlenv/resolve/internal/ini"
)

// aws reads the settings of AWS and of MLflow for S3, under the names that boto3 and MLflow read. MLflow's own client is boto3
// with these settings, so whoever can download a model with MLflow can do so with mlenv, and with the same bucket and account.
type aws struct{ world Outside }

// env gives the first of the variables that is set. A secret that a file or a CI system provides often ends in a newline.
func (a aws) env(names ...string) string {
	for _, name := range names {
		if v := strings.TrimSpace(a.world.Env(name)); v != "" {
			return v
		}
	}
	return ""
}

// profile is the section of a profile in both of AWS's files; what the credentials file has is stronger. A
// profile that was named and that neither has is an error, as with AWS's own tools.
func (a aws) profile() (map[string]string, error) {
	name := a.env("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
	named := name != ""
	if !named {
		name = "default"
	}
	out := map[string]string{}
	for _, f := range []struct{ variable, file, section string }{
		{"AWS_CONFIG_FILE", "config", "profile " + name}, {"AWS_SHARED_CREDENTIALS_FILE", "credentials", name},
	} {
		if name == "default" {
			f.section = name
		}
		file := a.env(f.variable)
		if file == "" {
			if a.world.Home == "" {
				continue
			}
			file = filepath.Join(a.world.Home, ".aws", f.file)
		}
		data, err := a.world.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, bad(fetch.BadSettings, "s3", "the file of AWS's %s cannot be read", f.file)
		}
		for k, v := range ini.Section(string(data), f.section) {
			out[k] = v
		}
	}
	if named && len(out) == 0 {
		return nil, bad(fetch.BadSettings, "s3", "AWS_PROFILE names the profile %s, which AWS's files do not have", name)
	}
	return out, nil
}

// s3Settings reads everything but the credentials. MLflow's own variable for the endpoint is stronger than AWS's, which
// is stronger than a profile.
func (a aws) s3Settings() (s3Settings, error) {
	profile, err := a.profile()
	if err != nil {
		return s3Settings{}, err
	}
	s := s3Settings{
		endpoint: a.env("MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"), region: a.env("AWS_REGION", "AWS_DEFAULT_REGION"),
		style: strings.ToLower(a.env("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE")), owner: a.env("MLFLOW_S3_EXPECTED_BUCKET_OWNER"),
		tls: fetch.TLS{CAFile: a.env("AWS_CA_BUNDLE")},
	}
	if s.endpoint == "" {
		s.endpoint = profile["endpoint_url"]
	}
	if s.region == "" {
		s.region = profile["region"]
	}
	if s.region == "" {
		s.region = "us-east-1" // any will do: the bucket's is learned from the first answer
	}
	switch v := strings.ToLower(a.env("MLFLOW_S3_IGNORE_TLS")); v {
	case "", "false", "0":
	case "true", "1":
		s.tls = fetch.TLS{Insecure: true}
	default:
		return s, bad(fetch.BadSettings, "s3", "MLFLOW_S3_IGNORE_TLS is neither true nor false")
	}
	switch {
	case !regionName.MatchString(s.region):
		return s, bad(fetch.BadSettings, "s3", "AWS_REGION is not the name of a region")
	case !slices.Contains([]string{"", "auto", "path", "virtual"}, s.style):
		return s, bad(fetch.BadSettings, "s3", "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE is none of auto, path and virtual")
	}
	return s, nil
}

// notRead are the keys of a profile by which credentials come from a program, a login in a browser, or a role by way of another
// profile. mlenv runs no programs and opens no browsers; with credentials found elsewhere it would read as somebody else.
var notRead = []string{"credential_process", "sso_session", "sso_start_url", "login_session", "source_profile", "credential_source"}

// keys finds the credentials: those of the environment, a web identity (IRSA), those of a profile, a container's (ECS, EKS
// Pod Identity), a machine's (EC2). Where there are none they are empty.
func (a aws) keys(o fetch.Options, region string) (*renewed[awsKeys], error) {
	profile, err := a.profile()
	if err != nil {
		return nil, err
	}
	fixed := func(k awsKeys) (*renewed[awsKeys], error) {
		return &renewed[awsKeys]{now: a.world.Now, fetch: func(context.Context) (awsKeys, time.Time, error) { return k, time.Time{}, nil }}, nil
	}
	// What is in the environment was set for this run, and is stronger than files.
	if id, secret := a.env("AWS_ACCESS_KEY_ID"), a.env("AWS_SECRET_ACCESS_KEY"); id != "" && secret != "" {
		return fixed(awsKeys{ID: id, Secret: secret, Token: a.env("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")})
	}
	role, file := a.env("AWS_ROLE_ARN"), a.env("AWS_WEB_IDENTITY_TOKEN_FILE")
	if role == "" || file == "" {
		role, file = profile["role_arn"], profile["web_identity_token_file"]
	}
	client, err := fetch.NewClient(o)
	if err != nil {
		return nil, err
	}
	services := &awsServices{tokenService: tokenService{cloud: "s3", client: client, now: a.world.Now}, aws: a}
	if role != "" && file != "" {
		return services.renewed(func(ctx context.Context) (awsKeys, error) { return services.assume(ctx, role, file, region) }), nil
	}
	if profile["aws_access_key_id"] != "" && profile["aws_secret_access_key"] != "" {
		return fixed(awsKeys{ID: profile["aws_access_key_id"], Secret: profile["aws_secret_access_key"], Token: profile["aws_session_token"]})
	}
	for _, key := range notRead {
		if profile[key] != "" {
			return nil, bad(fetch.Unsupported, "aws-profile", "the AWS profile has %s, by which mlenv does not get credentials", key)
		}
	}
	if full, relative := a.env("AWS_CONTAINER_CREDENTIALS_FULL_URI"), a.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); full != "" || relative != "" {
		o.Proxy = fetch.Proxy{} // which does not know the way to the host itself
		if services.client, err = fetch.NewClient(o); err != nil {
			return nil, err
		}
		return services.renewed(func(ctx context.Context) (awsKeys, error) { return services.container(ctx, full, relative) }), nil
	}
	if strings.EqualFold(a.env("AWS_EC2_METADATA_DISABLED"), "true") {
		return fixed(awsKeys{})
	}
	if services.client, err = machineClient(o); err != nil {
		return nil, err
	}
	return services.renewed(services.machine), nil
}

// machineClient asks a cloud's machine about itself. That is a matter of milliseconds where there is anything to ask, and no proxy
// knows the way; elsewhere nobody should wait for long to learn that there is nothing.
func machineClient(o fetch.Options) (*fetch.Client, error) {
	return fetch.NewClient(fetch.Options{UserAgent: o.UserAgent, Timeout: time.Second, Retries: -1, Sleep: o.Sleep})
}

// awsServices are the services of AWS that give credentials.
type awsServices struct {
	tokenService
	aws aws
}

func (s *awsServices) renewed(f func(context.Context) (awsKeys, error)) *renewed[awsKeys] {
	return &renewed[awsKeys]{now: s.now, fetch: func(ctx context.Context) (awsKeys, time.Time, error) {
		k, err := f(ctx)
		return k, k.Until, err
	}}
}

// assume exchanges the token of a service account for the credentials of a role (AssumeRoleWithWebIdentity). The file is read
// each time: Kubernetes replaces the token in it long before it ends.
func (s *awsServices) assume(ctx context.Context, role, file, region string) (awsKeys, error) {
	token, err := s.aws.world.ReadFile(file)
	if err != nil {
		return awsKeys{}, bad(fetch.BadSettings, "s3", "the file with the web identity token cannot be read")
	}
	endpoint := s.aws.env("AWS_ENDPOINT_URL_STS")
	if endpoint == "" {
		endpoint = "https://sts." + region + ".amazonaws.com"
		if strings.HasPrefix(region, "cn-") {
			endpoint += ".cn"
		}
	}
	session := s.aws.env("AWS_ROLE_SESSION_NAME")
	if session == "" {
		session = "mlenv"
	}
	data, err := s.ask(ctx, tokenCall{address: endpoint + "/", form: url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {role}, "RoleSessionName": {session},
		"WebIdentityToken": {strings.TrimSpace(string(token))},
	}})
	if err != nil {
		return awsKeys{}, err
	}
	var got struct {
		Keys awsKeys `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	}
	if xml.Unmarshal(data, &got) != nil || got.Keys.ID == "" || got.Keys.Secret == "" {
		return awsKeys{}, s.unreadable()
	}
	return got.Keys, nil
}

// container asks the agent of a container's host (ECS), or of a pod's node (EKS Pod Identity).
func (s *awsServices) container(ctx context.Context, full, relative string) (awsKeys, error) {
	address := "http://169.254.170.2" + relative
	if full != "" {
		address = full
	}
	u, err := url.Parse(address)
	// What is asked for has no encryption, and answers with credentials: only the host itself may be asked, as AWS's
	// own tools have it.
	if ip := net.ParseIP(u.Hostname()); err != nil || u.Scheme != "https" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback() &&
		!slices.Contains([]string{"169.254.170.2", "169.254.170.23", "fd00:ec2::23"}, ip.String())) {
		return awsKeys{}, bad(fetch.BadSettings, "s3", "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor on this host")
	}
	token := s.aws.env("AWS_CONTAINER_AUTHORIZATION_TOKEN")
	if file := s.aws.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
		data, err := s.aws.world.ReadFile(file)
		if err != nil {
			return awsKeys{}, bad(fetch.BadSettings, "s3", "the file of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read")
		}
		token = strings.TrimSpace(string(data))
	}
	header := map[string]string{}
	if token != "" {
		header["Authorization"] = token
	}
	return s.json(ctx, address, header)
}

// machine asks the machine in Amazon's cloud that mlenv runs on (IMDSv2, which wants a token first, so that a request which
// somebody else makes it send gets nothing). Where there is no such machine, there are no credentials, and that is no error: the
// bucket may be one that everybody may read.
func (s *awsServices) machine(ctx context.Context) (awsKeys, error) {
	base := s.aws.env("AWS_EC2_METADATA_SERVICE_ENDPOINT")
	if base == "" {
		base = "http://169.254.169.254"
	}
	base = strings.TrimRight(base, "/") + "/latest/"
	token, err := s.ask(ctx, tokenCall{method: http.MethodPut, address: base + "api/token", header: map[string]string{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": "300"}})
	if err != nil {
		return awsKeys{}, ctx.Err()
	}
	header := map[string]string{"X-Aws-Ec2-Metadata-Token": string(token)}
	const path = "meta-data/iam/security-credentials/"
	role, err := s.ask(ctx, tokenCall{address: base + path, header: header})
	name, _, _ := strings.Cut(string(role), "\n")
	if err != nil || name == "" { // a machine without a role
		return awsKeys{}, ctx.Err()
	}
	return s.json(ctx, base+path+url.PathEscape(strings.TrimSpace(name)), header)
}

// json asks for credentials that come as JSON.
func (s *awsServices) json(ctx context.Context, address string, header map[string]string) (awsKeys, error) {
	data, err := s.ask(ctx, tokenCall{address: address, header: header})
	var k awsKeys
	if err == nil && (json.Unmarshal(data, &k) != nil || k.ID == "" || k.Secret == "") {
		err = s.unreadable()
	}
	return k, err
}
