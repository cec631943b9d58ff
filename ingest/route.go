package ingest

import (
	"strings"

	"hale/devices"
	"hale/ingest/formats"
	"hale/vital"
)

// route is what a topic asks for.
type route int

const (
	toReadings route = iota + 1
	toStatus
	toFormat // readings in a format of the world
	toAnswer // what became of a command
)

const topicRoot = "hale/v1/"

// destination is where a topic leads.
type destination struct {
	route  route
	sensor vital.SensorID
	format string // with toFormat: as formats.Read names it
	// command is the one that is answered, with toAnswer.
	command string
}

// find reads a topic as the device may use it: its readings, those of a sensor that it speaks for, or its status. The
// refusal says what it may publish to; with vital.ReasonSensor the destination says nevertheless how the message is read.
func find(topic string, d *devices.Device) (to destination, no *refusal) {
	rest, ok := strings.CutPrefix(topic, topicRoot)
	if !ok {
		return to, refuse(vital.ReasonTopic, "topics begin with %s; this device publishes to %s%s/readings", topicRoot, topicRoot, d.UID)
	}
	who, rest, _ := strings.Cut(rest, "/")
	if who != d.UID {
		return to, refuse(vital.ReasonTopic, "this is not the connected device's topic; it publishes to %s%s/readings", topicRoot, d.UID)
	}
	if rest == "status" {
		return destination{route: toStatus, sensor: d.Own}, nil
	}
	if command, answers := strings.CutPrefix(rest, "commands/"); answers && command != "" && !strings.Contains(command, "/") {
		return destination{route: toAnswer, sensor: d.Own, command: command}, nil
	}
	to.sensor = d.Own
	what, ofSensor := strings.CutPrefix(rest, "sensors/")
	name := ""
	if ofSensor {
		name, what, _ = strings.Cut(what, "/")
	}
	if to.route, to.format, no = ending(what); no != nil {
		return destination{}, no
	}
	if !ofSensor {
		return to, nil
	}
	if to.sensor, ok = d.Sensors[name]; !ok {
		return to, refuse(vital.ReasonSensor, "the sensor %s was not granted to this gateway; ask the device desk", quote([]byte(name)))
	}
	return to, nil
}

// ending reads the end of a topic of measurements.
func ending(what string) (route, string, *refusal) {
	switch what {
	case "readings":
		return toReadings, "", nil
	case "status": // of a sensor
		return toStatus, "", nil
	case "fhir", "omh", "withings", "gateway":
		return toFormat, what, nil
	}
	number, ok := strings.CutPrefix(what, "gatt/")
	if !ok || number == "" || strings.Contains(number, "/") {
		return 0, "", refuse(vital.ReasonTopic, "a device publishes to .../readings, .../fhir, .../omh, .../withings, .../gateway, .../gatt/{characteristic}, .../sensors/{sensor}/ and one of these, or .../status")
	}
	if !formats.Reads(number) {
		return 0, "", refuse(vital.ReasonTopic, "the characteristic %s is none that Hale reads; it reads %s", quote([]byte(number)), strings.Join(formats.Characteristics(), ", "))
	}
	return toFormat, "gatt:" + number, nil
}
