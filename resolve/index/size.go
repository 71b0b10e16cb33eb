package index

import (
	"context"
	"errors"
	"net/http"
	"os"

	"mlenv/resolve/dist"
)

// Size returns how many bytes a file has: as its index says or, where that says nothing, as the server
// of the file does, without fetching it. It is 0 where nobody says, and where nobody may be asked.
func (c *Client) Size(ctx context.Context, f dist.File) (int64, error) {
	f = c.unsigned(f)
	u, known := c.address(f)
	if f.Size > 0 || !known {
		return f.Size, nil
	}
	if u.Scheme == "file" {
		info, err := os.Stat(filePath(u))
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	if c.s.Offline {
		return 0, nil
	}
	size := int64(0)
	err := c.t.do(listedBy(ctx, f.Index), request{url: u, method: http.MethodHead, use: func(r *http.Response) error {
		if r.StatusCode == http.StatusOK && r.ContentLength > 0 {
			size = r.ContentLength
		}
		return nil
	}})
	if errors.As(err, new(*NetworkError)) {
		return 0, nil // some servers answer no HEAD; fetching the file will tell what is wrong
	}
	return size, err
}
