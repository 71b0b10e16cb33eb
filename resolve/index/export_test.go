package index

import "mlenv/resolve/pep508"

// Waiting reports whether so many callers wait for the files of a project.
func (c *Client) Waiting(name pep508.Name, n int) bool {
	c.lists.mu.Lock()
	defer c.lists.mu.Unlock()
	call := c.lists.calls[name]
	return call != nil && call.waiting == n
}
