package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// keychain gives the credentials of registries: those of REGISTRY_AUTH_FILE, if it is set, as podman
// and skopeo have it, and then those of docker login and of podman login.
func (a *app) keychain() keychain {
	var out keychain
	if file := a.env("REGISTRY_AUTH_FILE"); file != "" {
		out = append(out, keys{authFile{file, "REGISTRY_AUTH_FILE's"}, file})
	}
	home := a.env("HOME")
	docker := filepath.Join(home, ".docker")
	if dir := a.env("DOCKER_CONFIG"); dir != "" {
		docker = dir
	}
	out = append(out, keys{authn.DefaultKeychain, filepath.Join(docker, "config.json")})
	// go-containerregistry reads podman's file only where there is none of Docker's, which may be
	// there for other reasons than a login.
	configs := a.env("XDG_CONFIG_HOME")
	if configs == "" && home != "" {
		configs = filepath.Join(home, ".config")
	}
	for _, dir := range []string{a.env("XDG_RUNTIME_DIR"), configs} {
		if dir != "" {
			file := filepath.Join(dir, "containers", "auth.json")
			out = append(out, keys{authFile{file, "podman's"}, file})
		}
	}
	return out
}

// keychain looks for credentials in several places; the first that has some counts.
type keychain []keys

// keys are the credentials of one place.
type keys struct {
	authn.Keychain
	place string
}

// Resolve implements authn.Keychain.
func (k keychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	for _, one := range k {
		if found, err := one.Resolve(target); err != nil || found != authn.Anonymous {
			return found, err
		}
	}
	return authn.Anonymous, nil
}

// Locate implements image.Locator.
func (k keychain) Locate(target authn.Resource) (from string, looked []string) {
	for _, one := range k {
		looked = append(looked, one.place)
		if found, err := one.Resolve(target); err == nil && found != authn.Anonymous {
			return one.place, looked
		}
	}
	return "", looked
}

// authFile is a file of credentials (containers-auth.json(5)), of the same form as Docker's.
type authFile struct{ path, what string }

// Resolve implements authn.Keychain. A file that is not there holds nothing: podman login makes it.
func (f authFile) Resolve(target authn.Resource) (authn.Authenticator, error) {
	r, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return authn.Anonymous, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s credentials: %w", f.what, err)
	}
	defer r.Close()
	all, err := config.LoadFromReader(r)
	if err != nil {
		return nil, fmt.Errorf("reading %s credentials in %s: %w", f.what, f.path, err)
	}
	found, err := lookUp(all, target)
	if err != nil {
		return nil, fmt.Errorf("asking the credential helper of %s: %w", target.RegistryStr(), err)
	}
	if found.ServerAddress = ""; found == (types.AuthConfig{}) {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(authn.AuthConfig{
		Username: found.Username, Password: found.Password, Auth: found.Auth,
		IdentityToken: found.IdentityToken, RegistryToken: found.RegistryToken,
	}), nil
}

// lookUp finds the credentials of a repository: the registry's own helper's, else those written for
// the repository, for what it lies below, or for the registry, else those of the helper for all.
func lookUp(all *configfile.ConfigFile, target authn.Resource) (types.AuthConfig, error) {
	main := target.RegistryStr()
	hosts := []string{main}
	if main == name.DefaultRegistry {
		main = authn.DefaultAuthKey // as docker login calls it; podman login calls it docker.io
		hosts = []string{"docker.io", main, name.DefaultRegistry}
	}
	for _, host := range hosts {
		if all.CredentialHelpers[host] != "" {
			return all.GetAuthConfig(host)
		}
	}
	path := strings.TrimPrefix(target.String(), target.RegistryStr())
	for {
		for _, host := range hosts {
			if found, ok := all.AuthConfigs[host+path]; ok {
				return found, nil
			}
		}
		if path == "" {
			break
		}
		path = path[:max(0, strings.LastIndexByte(path, '/'))]
	}
	if all.CredentialsStore != "" {
		return all.GetAuthConfig(main)
	}
	return types.AuthConfig{}, nil
}
