package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"hale/fault"
	"hale/simulators"
)

// loadCommand is the load generator of `hale bench`, in a process of its own so that it is not measured with the rest.
type loadCommand struct{}

// loadConnected is the line that the generator writes when all its devices are connected.
const loadConnected = "connected"

// Run reads what to do from standard input, writes a line when it is connected, begins at the next line that it reads,
// writes the result, and ends when standard input does.
func (c *loadCommand) Run(p *program) error {
	in := json.NewDecoder(os.Stdin)
	var spec simulators.LoadSpec
	if err := in.Decode(&spec); err != nil {
		return fault.Wrap(fault.Invalid, err, "`hale bench` starts this command and tells it what to do")
	}
	load, err := simulators.ConnectLoad(p.ctx, spec)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "connect the devices")
	}
	defer load.Close()
	fmt.Fprintln(p.out, loadConnected)
	var begin bool
	if err := in.Decode(&begin); err != nil {
		return fault.Wrap(fault.Unavailable, err, "`hale bench` is gone")
	}
	result, err := load.Run(p.ctx)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "the load stopped")
	}
	if err := json.NewEncoder(p.out).Encode(result); err != nil {
		return fault.Wrap(fault.Internal, err, "tell the result")
	}
	_, _ = io.Copy(io.Discard, io.MultiReader(in.Buffered(), os.Stdin)) // idle devices stay until we are told to end
	return nil
}
