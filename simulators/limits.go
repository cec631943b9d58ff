package simulators

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"

	"hale/vital"
)

// ReadLimits reads a file of personal limits: a JSON object of metric to its components' bounds, for example
// {"blood_pressure": {"systolic": {"yellow_low": 91, "yellow_high": 160}, "diastolic": {...}}, "heart_rate": {"value": {...}}}.
// Besides components, a metric may give "k", "n", "clear_after" and "reason".
func ReadLimits(path string) (map[string]Limits, error) {
	b, err := os.ReadFile(path) //nolint:gosec // the user names the file
	if err != nil {
		return nil, fmt.Errorf("read limits: %w", err)
	}
	var file map[string]map[string]json.RawMessage
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("%s is not a JSON object of metric to components: %w", path, err)
	}
	all := map[string]Limits{}
	for metric, parts := range file {
		l, err := limitsOf(metric, parts)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, metric, err)
		}
		all[metric] = l
	}
	return all, nil
}

func limitsOf(metric string, parts map[string]json.RawMessage) (Limits, error) {
	l := Limits{Enabled: true, K: 1, N: 1, ClearAfter: 1, Reason: "limits given to the replay"}
	order, ok := componentsOf(metric)
	if !ok {
		return l, fmt.Errorf("no such metric")
	}
	l.Components = make([]Bounds, len(order))
	for i := range l.Components {
		l.Components[i] = Bounds{}
	}
	names := make([]string, 0, len(parts))
	for name := range parts {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		var err error
		switch name {
		case "k":
			err = json.Unmarshal(parts[name], &l.K)
		case "n":
			err = json.Unmarshal(parts[name], &l.N)
		case "clear_after":
			err = json.Unmarshal(parts[name], &l.ClearAfter)
		case "reason":
			err = json.Unmarshal(parts[name], &l.Reason)
		default:
			err = fmt.Errorf("no such component; it has %s", strings.Join(order, ", "))
			for i, c := range order {
				if c == name {
					err = boundsOf(parts[name], &l.Components[i])
				}
			}
		}
		if err != nil {
			return l, fmt.Errorf("%s: %w", name, err)
		}
	}
	return l, nil
}

// boundsOf reads the bounds of one component; a misspelt one is an error before anything is sent.
func boundsOf(raw json.RawMessage, into *Bounds) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return err
	}
	for name := range *into {
		switch name {
		case "extreme_low", "red_low", "yellow_low", "yellow_high", "red_high", "extreme_high", "margin":
		default:
			return fmt.Errorf("no such bound as %q; there are extreme_low, red_low, yellow_low, yellow_high, red_high, extreme_high and margin", name)
		}
	}
	return nil
}

// componentsOf names the components of a metric in their order.
func componentsOf(metric string) ([]string, bool) {
	m, ok := vital.ParseMetric(metric)
	if !ok {
		return nil, false
	}
	d, _ := vital.Define(m) // a metric that parses is defined
	names := make([]string, len(d.Components))
	for i, c := range d.Components {
		names[i] = c.Code
	}
	return names, true
}
