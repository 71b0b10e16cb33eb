package sink

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"mlenv/imagebuild/image"
)

// answerTime is how long a registry may take to answer the check before a push.
const answerTime = 30 * time.Second

// once returns a check that is not repeated after it has succeeded.
func once(check func(context.Context) error) func(context.Context) error {
	var mu sync.Mutex
	done := false
	return func(ctx context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if done {
			return nil
		}
		err := check(ctx)
		done = err == nil
		return err
	}
}

// check starts an upload and cancels it (OCI Distribution Specification 1.1, "Pushing a blob
// monolithically"). Nothing less shows that the registry answers and that the repository may be
// written to: registries give tokens to anybody and deny access only when the token is used.
func (o RegistryOptions) check(ctx context.Context, ref string) error {
	target, err := image.ParseReference(ref)
	if err != nil {
		return err
	}
	repo := target.Context()
	limit := o.Answer
	if limit <= 0 {
		limit = answerTime
	}
	// Time that the registry asks us to wait does not count as time it takes to answer.
	within, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(limit, func() { cancel(fmt.Errorf("%s has not answered within %s", repo.RegistryStr(), limit)) })
	defer timer.Stop()
	r := o.Remote
	r.OnWait = func(host string, d time.Duration) {
		timer.Reset(limit + d)
		if o.Remote.OnWait != nil {
			o.Remote.OnWait(host, d)
		}
	}
	session := r.Session(repo, transport.PushScope)
	err = o.beginUpload(within, session, fmt.Sprintf("%s://%s/v2/%s/blobs/uploads/", repo.Scheme(), repo.RegistryStr(), repo.RepositoryStr()))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("asking whether %s can be pushed to: %w", target, ctx.Err())
	case within.Err() != nil:
		err = context.Cause(within)
	}
	return fmt.Errorf("asking whether %s can be pushed to: %w", target, session.Explain(ctx, err))
}

// beginUpload starts an upload at a URL, with as many tries as a push, and cancels it.
func (o RegistryOptions) beginUpload(ctx context.Context, session *image.Session, at string) error {
	client, err := session.Client(ctx)
	if err != nil {
		return err
	}
	patiently := *client
	patiently.Transport = transport.NewRetry(client.Transport, transport.WithRetryBackoff(o.backoff()),
		transport.WithRetryStatusCodes(http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout))
	resp, err := request(ctx, &patiently, http.MethodPost, at)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := transport.CheckError(resp, http.StatusAccepted, http.StatusCreated); err != nil {
		return err
	}
	// Errors do not matter here: registries drop uploads that nobody continues.
	location, err := resp.Request.URL.Parse(resp.Header.Get("Location"))
	if err != nil || resp.Header.Get("Location") == "" || location.Host != resp.Request.URL.Host {
		return nil
	}
	if end, err := request(ctx, client, http.MethodDelete, location.String()); err == nil {
		end.Body.Close()
	}
	return nil
}

func request(ctx context.Context, client *http.Client, method, at string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, at, http.NoBody)
	if err != nil {
		return nil, err
	}
	return client.Do(r)
}
