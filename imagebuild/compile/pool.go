package compile

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"

	"mlenv/imagebuild/pyc"
)

//go:embed worker.py
var worker string

// ErrSyntax says that a source is not one of this version of Python. Packages hold such sources, for other versions
// and as test data; pip leaves them uncompiled too.
var ErrSyntax = errors.New("the source does not compile")

// ErrCannotConfine says that this machine has no means to confine the interpreter.
var ErrCannotConfine = errors.New("this machine cannot confine the base's Python")

// maxCode bounds one answer. The largest module known, of generated tables, has 12 MB.
const maxCode = 256 << 20

// A Pool compiles sources in processes of an interpreter. Close ends them.
type Pool struct {
	interpreter *Interpreter
	confine     []string
	free        chan *process // nil: one that is yet to be started
	mu          sync.Mutex
	running     []*process
}

// NewPool returns a pool of n processes, which are started when they are first needed. Every one is started by the
// command confine, which is given the interpreter's directory and its command line, and calls [Confine] with them;
// if it is nil, the interpreter runs unconfined.
func NewPool(i *Interpreter, n int, confine []string) *Pool {
	p := &Pool{interpreter: i, confine: confine, free: make(chan *process, n)}
	for range n {
		p.free <- nil
	}
	return p
}

// Compile returns the compiled file of a source: path is the absolute path that the source will have in the image,
// and stands in the code. A source that does not compile is ErrSyntax.
func (p *Pool) Compile(ctx context.Context, path string, source []byte) ([]byte, error) {
	if len(source) > maxSource {
		return nil, ErrSyntax
	}
	var one *process
	select {
	case one = <-p.free:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	var err error
	if one == nil {
		if one, err = p.start(); err != nil {
			p.free <- nil
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, one.kill)
	code, err := one.ask(path, source)
	stop()
	if err != nil {
		why := one.wait(err)
		p.free <- nil
		if ctx.Err() != nil {
			why = context.Cause(ctx)
		}
		return nil, fmt.Errorf("compiling %s: %w", path, why)
	}
	p.free <- one
	if len(code) == 0 {
		return nil, ErrSyntax
	}
	file, err := pyc.File(p.interpreter.Minor, source, code)
	if err != nil {
		return nil, fmt.Errorf("compiling %s: what the base's Python answered: %w", path, err)
	}
	return file, nil
}

// Close ends the processes, and waits for them. Nothing may be compiled meanwhile or later.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.running {
		one.kill()
		_ = one.wait(nil) // it was killed
	}
	p.running = nil
}

// process is one running interpreter.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	errs   bounded
	waited sync.Once
}

func (p *Pool) start() (*process, error) {
	args := p.interpreter.command()
	if p.confine != nil {
		args = append(append(append([]string{}, p.confine...), p.interpreter.root), args...)
	}
	one := &process{cmd: exec.Command(args[0], args[1:]...)}
	one.cmd.Env, one.cmd.Dir, one.cmd.Stderr = p.interpreter.environ(), p.interpreter.root, &one.errs
	var err error
	if one.in, err = one.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := one.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	one.out = bufio.NewReaderSize(out, 64<<10)
	if err := one.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the base's Python: %w", err)
	}
	p.mu.Lock()
	p.running = append(p.running, one)
	p.mu.Unlock()
	return one, nil
}

// ask sends one source and takes the answer.
func (p *process) ask(path string, source []byte) ([]byte, error) {
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(path)))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(source)))
	for _, b := range [][]byte{append(head, path...), source} {
		if _, err := p.in.Write(b); err != nil {
			return nil, err
		}
	}
	var size [4]byte
	if _, err := io.ReadFull(p.out, size[:]); err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(size[:]))
	if n > maxCode {
		return nil, fmt.Errorf("the base's Python answers with %d bytes", n)
	}
	var b bytes.Buffer // grows with what arrives, not with what was announced
	if _, err := io.CopyN(&b, p.out, n); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (p *process) kill() { _ = p.cmd.Process.Kill() } // one that has ended needs none

// lastWords is how long a process that has broken off may take to say why.
const lastWords = time.Second

// wait waits for the end of a process, and says why it ended, as far as that is known.
func (p *process) wait(err error) error {
	p.waited.Do(func() {
		p.in.Close()
		end := time.AfterFunc(lastWords, p.kill)
		defer end.Stop()
		_ = p.cmd.Wait()
	})
	if text := strings.TrimSpace(p.errs.String()); text != "" {
		return fmt.Errorf("the base's Python cannot be run: %s", text)
	}
	if state := p.cmd.ProcessState; state != nil && !state.Success() && errors.Is(err, io.EOF) {
		return fmt.Errorf("the base's Python cannot be run: %s", state)
	}
	return err
}

// bounded keeps the beginning of what is written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), max(0, 4<<10-b.Len()))])
	return len(p), nil
}
