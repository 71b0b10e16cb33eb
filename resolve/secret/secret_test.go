package secret

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// However a Text is printed, it shows no secret; with Reveal it has all of it but the white space.
func TestTextShowsNoSecret(t *testing.T) {
	const hidden = "hunter2"
	for _, text := range []string{
		"https://user:hunter2@host/simple/", "https://user:hunter2@host/simple/\n", " https://hunter2@host ",
		"https://user:a hunter2@host/simple", "https://user:hunter2 b@host/simple", "https://us er:hunter2@host/simple", "https://user:12 hunter2@host",
		"https://user:a/hunter2 b@host/simple", "https://user:a?hunter2@host/simple", "https://user:a#hunter2 b@host",
		"user:hunter2@host/simple", "user:a hunter2@host", "hunter2@host", "https://user:%zzhunter2@host", "https://user:hunter2@host:port",
		"https://host/f.whl?token=hunter2", "https://host/f.whl?a=1&X-Amz-Signature=hunter2#sha256=00", "https://host/?token=a hunter2",
		"https://user:hunter2\x00@host", "https://user:hunter2\u00a0x@host", "https://host/t/hunter2/conda",
	} {
		s := New(text)
		marshalled, err := json.Marshal(struct{ S Text }{s})
		if err != nil {
			t.Fatal(err)
		}
		for _, shown := range []string{
			fmt.Sprint(s), fmt.Sprintf("%v %s %q %x %#v %+v %10s", s, s, s, s.String(), s, s, s), fmt.Sprintf("%v %#v", struct{ A, B Text }{s, s}, []Text{s}),
			s.String(), string(marshalled), fmt.Errorf("reading %q: %w", s, errors.New("x")).Error(), URL(text),
		} {
			if strings.Contains(shown, hidden) || strings.Contains(shown, fmt.Sprintf("%x", hidden)) {
				t.Errorf("%q shows %q", text, shown)
			}
		}
		if s.Reveal() != strings.TrimSpace(text) {
			t.Errorf("%q reveals %q", text, s.Reveal())
		}
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{ // "": as it is
		"fetching https://host/simple/: 404":                        "",
		"fetching https://user:pw@host/simple/: 404":                "fetching https://host/simple/: 404",
		"evil @ https://user:a pw@host/x.whl":                       "evil @ https://host/x.whl",
		"https://user pw@host/x and https://other/y":                "https://host/x and https://other/y",
		"https://host/x.whl and then a@b":                           "",
		"git+https://host/x.git@v1 is for a@b":                      "",
		`Get "/v2/?token=pw": stopped after 10 redirects`:           `Get "/v2/?…": stopped after 10 redirects`,
		"--trusted-host user:pw@host":                               "--trusted-host host",
		"--index-url=user:pw@host/simple -f u:pw@host":              "--index-url=host/simple -f host",
		"--find-links dir/x:y@z":                                    "",
		"is it /v2/? or a=b?":                                       "",
		`Get "https://host/x?sig=pw&se=1": dial tcp`:                `Get "https://host/x": dial tcp`,
		"is it https://host/x?":                                     "",
		"https://host/x?token=pw#egg=x":                             "https://host/x#egg=x",
		"https://host/x?a=pw#egg=x":                                 "https://host/x?…#egg=x",
		"host:80, https://[::1]:80/x y@z":                           "",
		"line one\nhttps://user:a pw@host/x\nline three: name@host": "line one\nhttps://host/x\nline three: name@host",
	} {
		if want == "" {
			want = in
		}
		if got := Redact(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		if again := Redact(want); again != want {
			t.Errorf("%q is redacted again to %q", want, again)
		}
	}
}

func TestHasSpace(t *testing.T) {
	for line, want := range map[string]bool{
		"evil @ https://user:a pw@host/x.whl":                      true,
		"--index-url https://user:a\tpw@host/":                     true,
		"--index-url https://user pw@host/":                        true,
		"--index-url https://user:pw@host/ --trusted-host host":    false,
		"x @ https://host/x.whl ; python_version > '3'":            false,
		"--index-url https://host --extra-index-url https://u@two": false,
		"x @ git+ssh://git@host/x.git@v1 --hash=sha256:00":         false,
	} {
		if got := HasSpace(line); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}

func TestQueryIsSecret(t *testing.T) {
	for query, want := range map[string]bool{
		"token=x": true, "a=1&access_token=x": true, "X-Amz-Signature=x&X-Amz-Date=1": true, "sv=1&sig=x": true, "X-Goog-Credential=x": true,
		"private_token=x": true, "AWSAccessKeyId=x&Expires=1": true, "api_key=x": true, "jwt=x": true, "passwd=x": true,
		"hmac=x": true, "__hdnea__=x": true, "sign=x": true, "ticket=x": true,
		// Whatever it is called, what looks drawn by lot is taken for a secret, but for names of things.
		"x=Zk3Jq9vT2mB7xW4nR8sL1cYd": true, "v=1&k=00af31c7d2e94b5a86f0c1d3e2b4a596": true, "s=" + "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkw.abc": true,
		"versionId=3HL4kqtJlcpXroDTDmJrmSpXd3dIbrHY": false, "sha256=00af31c7d2e94b5a86f0c1d3e2b4a59600af31c7": false, "commit=00af31c7d2e94b5a86f0c1d3e2b4a59600af31c7": false,
		"file=scikit_learn-1.3.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl": false, "package=scikitlearnintelpatched2024": false, "date=20260101T000000Z": false,
		"version=3": false, "ref=main&path=x": false, "": false, "token=": false, "design=x": false,
	} {
		if got := QueryIsSecret(query); got != want {
			t.Errorf("%q: %v", query, got)
		}
	}
}

// Wherever a password stands in what begins like a URL, with whatever white space, nothing shows it.
func FuzzRedact(f *testing.F) {
	f.Add("", "user", " ", "host/simple")
	f.Add("evil @ ", "us er", "a/b ", "host")
	f.Add("x ", "", "\t?", "h:80/x y")
	f.Fuzz(func(t *testing.T, before, user, pad, after string) {
		const hidden = "hunter2secret"
		if strings.ContainsAny(user+pad, "/?#\\@\n\"'<>") || strings.ContainsAny(after, "@\n") || strings.Contains(after, "://") ||
			strings.Contains(pad+user, ":") || strings.Contains(before+user+pad+after, hidden) {
			return
		}
		line := before + " https://" + user + ":" + pad + hidden + "@" + after
		if got := Redact(line); strings.Contains(got, hidden) {
			t.Errorf("%q shows %q", line, got)
		}
		url := "https://" + user + ":" + pad + hidden + "@" + after
		if got := New(url).String(); strings.Contains(got, hidden) {
			t.Errorf("%q shows %q", url, got)
		}
	})
}
