package secret

import (
	"strings"
	"testing"
)

func TestScrub(t *testing.T) {
	tests := map[string]string{ // "" for what stays as it is
		"https://pypi.example/simple":                            "",
		"https://user:pw@pypi.example/simple":                    "https://pypi.example/simple",
		"https://token@pypi.example/simple":                      "https://pypi.example/simple",
		"https://:pw@pypi.example/simple":                        "https://pypi.example/simple",
		"https://user:@pypi.example/simple":                      "https://pypi.example/simple",
		"HTTPS://user:p@ss@pypi.example:8080/simple":             "HTTPS://pypi.example:8080/simple",
		"https://${U}:pw@pypi.example/simple":                    "https://pypi.example/simple",
		"https://user:pa/ss@pypi.example/simple":                 "https://pypi.example/simple",
		"https://user:pa?s#s@pypi.example/simple":                "https://pypi.example/simple",
		"-i 'https://user:p'w@pypi.example/simple'":              "-i 'https://pypi.example/simple'",
		"git+https://user:pw@git.example/x.git@v1#egg=x":         "git+https://git.example/x.git@v1#egg=x",
		"git+https://git.example/x.git@v1#egg=x":                 "",
		"git+https://git.example:8080/x.git@v1":                  "",
		"git+https://git.example:${PORT}/x.git@v1":               "",
		"git+https://git@git.example/x.git":                      "",
		"git+ssh://git@git.example/x.git@v1":                     "",
		"git+ssh://someone@git.example/x.git":                    "",
		"wasbs://models@account.blob.core.windows.net/churn":     "",
		"abfss://models@account.dfs.core.windows.net/churn":      "",
		"abfss://models:pw@account.dfs.core.windows.net/churn":   "abfss://account.dfs.core.windows.net/churn",
		"git+ssh://someone:pw@git.example/x.git":                 "git+ssh://git.example/x.git",
		"git+ssh://git.example:org/x.git@v1":                     "git+ssh://v1", // cannot be told from a password, and no URL
		"a https://u:p@x.example b https://u:p@y.example c":      "a https://x.example b https://y.example c",
		"https://conda.example/t/tk-1-2/channel":                 "https://conda.example/channel",
		"https://user:pw@conda.example/t/tk-1-2/channel":         "https://conda.example/channel",
		"https://x.example/f.whl?token=t#sha256=00":              "https://x.example/f.whl#sha256=00",
		"x @ https://x.example/f.whl?X-Amz-Signature=s&a=b ; x":  "x @ https://x.example/f.whl ; x",
		"https://x.example/f.whl?version=3":                      "",
		"https://[::1]:8080/x@y":                                 "",
		"https://user:pw@[::1]:8080/x":                           "https://[::1]:8080/x",
		"name: someone@mail.example":                             "",
		"file:///dir/x@y.whl":                                    "",
		"foo @ https://user:pw@x.example/f.whl ; os_name=='a:b'": "foo @ https://x.example/f.whl ; os_name=='a:b'",
	}
	for in, want := range tests {
		found := want != ""
		if !found {
			want = in
		}
		if got, ok := Scrub(in); got != want || ok != found {
			t.Errorf("%q: got %q, %v, want %q", in, got, ok, want)
		}
		if again, ok := Scrub(want); again != want || ok {
			t.Errorf("%q scrubs again to %q", want, again)
		}
	}
}

// The name of a variable is taken out as a password is, but it is none.
func TestVariable(t *testing.T) {
	for in, want := range map[string]string{
		"https://robot:${TOKEN}@pypi.example/simple":    "${TOKEN}",
		"-i https://${TOKEN}@pypi.example/simple":       "${TOKEN}",
		"https://${U}:${P}@pypi.example/simple":         "${P}",
		"https://robot:x${TOKEN}@pypi.example/simple":   "",
		"https://${U}:pw@pypi.example/simple":           "",
		"https://pypi.example/${TOKEN}/simple":          "",
		"https://a:b@x.example https://${T}@y.example":  "${T}",
		"https://robot:${token}@pypi.example/lowercase": "", // pip does not replace it
	} {
		if got := Variable(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		clean, taken, found := Take(in)
		if want != "" && !strings.Contains(in, "a:b") && (strings.Contains(clean, "@") || len(taken) > 0 || found) {
			t.Errorf("%q: %q, %q, %v", in, clean, taken, found)
		}
	}
}

// Take gives the URLs that can be asked with what they carry.
func TestTake(t *testing.T) {
	tests := map[string]string{
		"x @ https://u:p@x.example/f.whl ; os_name=='a:b'":  "https://u:p@x.example/f.whl",
		"-i 'HTTP://u:p@x.example/simple'":                  "http://u:p@x.example/simple",
		"https://u:p@x.example/a https://token@y.example/b": "https://u:p@x.example/a https://token@y.example/b",
		"x @ https://x.example/f.whl?token=t#sha256=00":     "https://x.example/f.whl?token=t#sha256=00",
		"x @ https://u:p@x.example/f.whl?sig=s":             "https://u:p@x.example/f.whl?sig=s",
		"x @ https://x.example/f.whl?version=3":             "",
		"git+https://u:p@x.example/x.git":                   "",
		"https://x.example/a@b":                             "",
	}
	for in, want := range tests {
		if _, got, _ := Take(in); strings.Join(got, " ") != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzScrub(f *testing.F) {
	f.Add("https://", "user", "example.com/x")
	f.Add("git+ssh://", "", "${X}:8080/@")
	f.Add("a b=c://", "u", "")
	f.Fuzz(func(t *testing.T, before, user, after string) {
		const secret = "hunter2secret"
		if strings.ContainsAny(user, " \t\r\n/?#\\") || strings.Contains(before+user+after, secret) {
			return
		}
		// Whatever surrounds it, a password behind a user is taken out.
		got, found := Scrub(before + " https://" + user + ":" + secret + "@host.example" + after)
		if strings.Contains(got, secret) || !found {
			t.Fatalf("%q", got)
		}
	})
}
