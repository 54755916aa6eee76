package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/skerryhq/skerry/appliance/api/client"
)

// sse asks for a stream of events instead of one answer.
func sse(_ context.Context, r *http.Request) error {
	r.Header.Set("Accept", "text/event-stream")
	return nil
}

// strong asks for what every node has acknowledged, not for what this one knows.
func strong(_ context.Context, r *http.Request) error {
	q := r.URL.Query()
	q.Set("consistency", "strong")
	r.URL.RawQuery = q.Encode()
	return nil
}

// events reads a server's events one by one until each says stop, the stream
// ends (nil), or it breaks.
func events(body io.Reader, each func(name, data string) error) error {
	r := bufio.NewReaderSize(body, 64<<10)
	name, data := "", []string{}
	for {
		line, err := readLine(r)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case line == "":
			if len(data) > 0 {
				if err := each(firstOf(name, "message"), strings.Join(data, "\n")); err != nil {
					return err
				}
			}
			name, data = "", data[:0]
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name = value
		case "data":
			data = append(data, value)
		}
	}
}

const maxEvent = 16 << 20 // bytes of one line of a stream

func readLine(r *bufio.Reader) (string, error) {
	var long []byte
	for {
		part, err := r.ReadSlice('\n')
		if long == nil && err == nil {
			return strings.TrimRight(string(part), "\r\n"), nil
		}
		long = append(long, part...)
		switch {
		case err == nil:
			return strings.TrimRight(string(long), "\r\n"), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		case len(long) > maxEvent:
			return "", errors.New("the server sent a line that is too long")
		}
	}
}

// work reads long work: it draws the steps and gives the result of `done`, or
// the refusal of `problem`. A server that answers JSON at once is fine too.
func work[T any](a *app, resp *http.Response, err error) (T, error) {
	var v T
	resp, err = streamed(resp, err)
	if err != nil {
		return v, err
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return answer[T](resp, nil)
	}
	defer resp.Body.Close()
	p := a.newProgress()
	defer p.end()
	finished := false
	err = events(resp.Body, func(name, data string) error {
		switch name {
		case "progress":
			var step client.Progress
			if err := json.Unmarshal([]byte(data), &step); err == nil {
				p.step(step)
			}
		case "problem":
			r := &refusal{}
			if err := json.Unmarshal([]byte(data), &r.Problem); err != nil {
				return fmt.Errorf("the server's answer cannot be read: %w", err)
			}
			return r
		case "done":
			finished = true
			if err := json.Unmarshal([]byte(data), &v); err != nil {
				return fmt.Errorf("the server's answer cannot be read: %w", err)
			}
			return io.EOF
		}
		return nil
	})
	switch {
	case finished && (err == nil || errors.Is(err, io.EOF)):
		return v, nil
	case err != nil && !errors.Is(err, io.EOF):
		return v, err
	}
	return v, errors.New("the connection ended before the work was done: it may still go on, look with `skerry event`")
}
