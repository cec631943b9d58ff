package ingest

import (
	"strings"

	"hale/devices"
	"hale/vital"
)

// route is what a topic asks for.
type route int

const (
	toReadings route = iota + 1
	toStatus
)

const topicRoot = "hale/v1/"

// find reads a topic as the device may use it: its readings, those of a sensor that it speaks for, or its status. The
// refusal says what it may publish to.
func find(topic string, d *devices.Device) (to route, sensor vital.SensorID, no *refusal) {
	rest, ok := strings.CutPrefix(topic, topicRoot)
	if !ok {
		return 0, 0, refuse(vital.ReasonTopic, "topics begin with %s; this device publishes to %s%s/readings", topicRoot, topicRoot, d.UID)
	}
	who, rest, _ := strings.Cut(rest, "/")
	if who != d.UID {
		return 0, 0, refuse(vital.ReasonTopic, "this is not the connected device's topic; it publishes to %s%s/readings", topicRoot, d.UID)
	}
	switch rest {
	case "readings":
		return toReadings, d.Own, nil
	case "status":
		return toStatus, d.Own, nil
	}
	name, ok := strings.CutPrefix(rest, "sensors/")
	if name, ok = cutSuffix(name, "/readings", ok); !ok || strings.Contains(name, "/") {
		return 0, 0, refuse(vital.ReasonTopic, "a device publishes to .../readings, .../sensors/{sensor}/readings or .../status")
	}
	sensor, ok = d.Sensors[name]
	if !ok {
		return 0, 0, refuse(vital.ReasonSensor, "the sensor %s was not granted to this gateway; ask the device desk", quote([]byte(name)))
	}
	return toReadings, sensor, nil
}

func cutSuffix(s, suffix string, so bool) (string, bool) {
	s, ok := strings.CutSuffix(s, suffix)
	return s, so && ok
}
