package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// keychain gives the credentials of registries: those of REGISTRY_AUTH_FILE, if it is set, as podman
// and skopeo have it, and then those of docker login and podman login.
func (a *app) keychain() authn.Keychain {
	file := a.env("REGISTRY_AUTH_FILE")
	if file == "" {
		return authn.DefaultKeychain
	}
	return authn.NewMultiKeychain(authFile(file), authn.DefaultKeychain)
}

// authFile is a file of credentials (containers-auth.json(5)), of the same form as Docker's.
type authFile string

// Resolve implements authn.Keychain. A file that is not there holds nothing: podman login makes it.
func (f authFile) Resolve(target authn.Resource) (authn.Authenticator, error) {
	r, err := os.Open(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return authn.Anonymous, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading REGISTRY_AUTH_FILE: %w", err)
	}
	defer r.Close()
	all, err := config.LoadFromReader(r)
	if err != nil {
		return nil, fmt.Errorf("reading REGISTRY_AUTH_FILE %s: %w", f, err)
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
