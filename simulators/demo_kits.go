package simulators

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// kits hands the demo's people what they have as kits, so that the device desk has something to take live: names and cuffs are
// confirmed, and the first readings turn the last tick green.
func (d *Demo) kits(ctx context.Context, ids []string, lives []*Life) error {
	for i, l := range lives {
		if err := d.kit(ctx, ids[i], l); err != nil && !isStatus(err, http.StatusConflict) { // an earlier start made it
			return fmt.Errorf("hand out a kit: %w", err)
		}
	}
	return nil
}

func (d *Demo) kit(ctx context.Context, patient string, l *Life) error {
	var made struct{ ID string }
	box := map[string]any{"label": strings.Replace(l.Number, "DEMO", "K", 1), "devices": []string{l.Kits[0].Device}}
	if err := d.Staff.call(ctx, http.MethodPost, "/v1/kits", box, nil, &made); err != nil {
		return err
	}
	path := "/v1/kits/" + url.PathEscape(made.ID)
	if err := d.Staff.call(ctx, http.MethodPost, path+"/issue", map[string]any{"patient": patient}, nil, nil); err != nil {
		return err
	}
	return d.Staff.call(ctx, http.MethodPost, path+"/confirmations", map[string]any{"names": []string{patient}, "cuff": true}, nil, nil)
}
