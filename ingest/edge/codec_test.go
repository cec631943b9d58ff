package edge

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// decoded is a packet in a form in which ours and paho's can be compared.
type decoded struct {
	Kind    byte
	ID      uint16
	Connect *packets.ConnectPacket
	Publish *packets.PublishPacket
	Filters []string
	Qoss    []byte
}

// errOnlySent says that a packet is one that the edge only sends.
var errOnlySent = errors.New("only sent")

// decodeOurs decodes one whole packet as the edge does, and returns what is left behind it.
func decodeOurs(data []byte) (decoded, []byte, error) {
	r := bytes.NewReader(data)
	h, err := readHeader(r)
	if err != nil {
		return decoded{}, nil, err
	}
	if r.Len() < h.length {
		return decoded{}, nil, errors.New("cut short")
	}
	rest := data[len(data)-r.Len():]
	body, rest := rest[:h.length], rest[h.length:]
	d := decoded{Kind: byte(h.kind)}
	switch h.kind {
	case typeConnect:
		d.Connect, err = connectAsPaho(body)
	case typePublish:
		d.ID, d.Publish, err = publishAsPaho(h, body)
	case typePuback, typePubrec, typePubrel, typePubcomp, typeUnsuback:
		d.ID, err = decodeAck(body)
	case typeSubscribe:
		var filters []subscription
		d.ID, filters, err = decodeSubscribe(body)
		for _, f := range filters {
			d.Filters, d.Qoss = append(d.Filters, f.filter), append(d.Qoss, f.qos)
		}
	case typeUnsubscribe:
		d.ID, d.Filters, err = decodeUnsubscribe(body)
	case typePingreq, typePingresp, typeDisconnect:
		err = decodeEmpty(body)
	case typeConnack, typeSuback:
		err = errOnlySent
	}
	return d, rest, err
}

func connectAsPaho(body []byte) (*packets.ConnectPacket, error) {
	c, err := decodeConnect(body)
	if err != nil {
		return nil, err
	}
	p := blank[*packets.ConnectPacket](packets.Connect)
	p.ProtocolName, p.ProtocolVersion, p.CleanSession, p.Keepalive = c.protocol, c.level, c.cleanSession, c.keepAlive
	p.ClientIdentifier, p.UsernameFlag, p.Username = c.clientID, c.hasUser, c.user
	p.PasswordFlag, p.Password = c.hasPassword, c.password
	if c.will != nil {
		p.WillFlag, p.WillTopic, p.WillMessage, p.WillQos, p.WillRetain = true, c.will.topic, c.will.payload, c.will.qos, c.will.retain
	}
	return p, nil
}

func publishAsPaho(h header, body []byte) (uint16, *packets.PublishPacket, error) {
	if len(body) < 2 {
		return 0, nil, violation("PUBLISH ends within its head")
	}
	n, err := publishHead(h, body)
	if err != nil {
		return 0, nil, err
	}
	p, err := decodePublish(h, body[:n])
	if err != nil {
		return 0, nil, err
	}
	theirs := blank[*packets.PublishPacket](packets.Publish)
	theirs.Dup, theirs.Qos, theirs.Retain = p.dup, p.qos, p.retain
	theirs.TopicName, theirs.MessageID, theirs.Payload = string(p.topic), p.id, body[n:]
	return p.id, theirs, nil
}

// decodePaho decodes one packet with paho's package.
func decodePaho(data []byte) (decoded, error) {
	p, err := packets.ReadPacket(bytes.NewReader(data))
	if err != nil {
		return decoded{}, err
	}
	d := decoded{Kind: data[0] >> 4, ID: p.Details().MessageID}
	switch p := p.(type) {
	case *packets.ConnectPacket:
		d.Connect = p
	case *packets.PublishPacket:
		d.Publish = p
	case *packets.SubscribePacket:
		d.Filters, d.Qoss = p.Topics, p.Qoss
	case *packets.UnsubscribePacket:
		d.Filters = p.Topics
	}
	return d, nil
}

// sameAsPaho compares what the two made of the same bytes.
func sameAsPaho(ours, theirs decoded) string {
	for _, d := range []*decoded{&ours, &theirs} { // the header's form is not compared, and empty is empty
		if d.Connect != nil {
			d.Connect.FixedHeader = packets.FixedHeader{}
			d.Connect.Password, d.Connect.WillMessage = append([]byte{}, d.Connect.Password...), append([]byte{}, d.Connect.WillMessage...)
		}
		if d.Publish != nil {
			d.Publish.RemainingLength = 0
			d.Publish.Payload = append([]byte{}, d.Publish.Payload...)
		}
	}
	return cmp.Diff(theirs, ours)
}

// blank returns an empty packet of paho's of that kind.
func blank[P packets.ControlPacket](kind byte) P {
	p, ok := packets.NewControlPacket(kind).(P)
	if !ok {
		panic("paho has no such packet")
	}
	return p
}

func encodePaho(t interface{ Fatal(...any) }, p packets.ControlPacket) []byte {
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// anyPacket draws a lawful packet that a device may send.
func anyPacket(t *rapid.T) packets.ControlPacket {
	text := rapid.StringMatching(`[a-zA-Zäöü0-9/_.-]{1,40}`)
	filter := rapid.StringMatching(`([a-zäö0-9]{1,5}|\+)(/([a-z]{0,5}|\+)){0,3}(/#)?|#`)
	id := rapid.Uint16Range(1, 65535)
	kind := rapid.SampledFrom([]byte{1, 3, 4, 5, 6, 7, 8, 10, 12, 14}).Draw(t, "kind")
	p := packets.NewControlPacket(kind)
	switch p := p.(type) {
	case *packets.ConnectPacket:
		p.ProtocolName, p.ProtocolVersion = "MQTT", 4
		p.CleanSession, p.Keepalive = rapid.Bool().Draw(t, "clean"), rapid.Uint16().Draw(t, "keepalive")
		p.ClientIdentifier = rapid.String().Filter(func(s string) bool { return !strings.ContainsRune(s, 0) }).Draw(t, "client id")
		if p.WillFlag = rapid.Bool().Draw(t, "will"); p.WillFlag {
			p.WillTopic, p.WillQos, p.WillRetain = text.Draw(t, "will topic"), rapid.ByteRange(0, 2).Draw(t, "will qos"), rapid.Bool().Draw(t, "will retain")
			p.WillMessage = rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "will message")
		}
		if p.UsernameFlag = rapid.Bool().Draw(t, "user"); p.UsernameFlag {
			p.Username = text.Draw(t, "user name")
			if p.PasswordFlag = rapid.Bool().Draw(t, "password"); p.PasswordFlag {
				p.Password = rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, "secret")
			}
		}
	case *packets.PublishPacket:
		p.Qos, p.Retain = rapid.ByteRange(0, 2).Draw(t, "qos"), rapid.Bool().Draw(t, "retain")
		p.TopicName, p.Payload = text.Draw(t, "topic"), rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "payload")
		if p.Qos > 0 {
			p.Dup, p.MessageID = rapid.Bool().Draw(t, "dup"), id.Draw(t, "id")
		}
	case *packets.PubackPacket:
		p.MessageID = id.Draw(t, "id")
	case *packets.PubrecPacket:
		p.MessageID = id.Draw(t, "id")
	case *packets.PubrelPacket:
		p.MessageID = id.Draw(t, "id")
	case *packets.PubcompPacket:
		p.MessageID = id.Draw(t, "id")
	case *packets.SubscribePacket:
		p.MessageID, p.Topics = id.Draw(t, "id"), rapid.SliceOfN(filter, 1, 4).Draw(t, "filters")
		for range p.Topics {
			p.Qoss = append(p.Qoss, rapid.ByteRange(0, 2).Draw(t, "qos"))
		}
	case *packets.UnsubscribePacket:
		p.MessageID, p.Topics = id.Draw(t, "id"), rapid.SliceOfN(filter, 1, 4).Draw(t, "filters")
	}
	return p
}

func TestWhatPahoSendsIsDecodedAsPahoDecodesIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		data := encodePaho(t, anyPacket(t))
		ours, rest, err := decodeOurs(data)
		if err != nil || len(rest) != 0 {
			t.Fatalf("%x: %v, %d bytes left", data, err, len(rest))
		}
		theirs, err := decodePaho(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := sameAsPaho(ours, theirs); diff != "" {
			t.Fatalf("%x (-paho +ours):\n%s", data, diff)
		}
	})
}

func TestWhatTheEdgeSendsIsWhatPahoWouldSend(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.Uint16Range(1, 65535).Draw(t, "id")
		connack := blank[*packets.ConnackPacket](packets.Connack)
		connack.ReturnCode = rapid.ByteRange(0, 5).Draw(t, "code")
		suback := blank[*packets.SubackPacket](packets.Suback)
		suback.MessageID, suback.ReturnCodes = id, rapid.SliceOfN(rapid.SampledFrom([]byte{0, subackFailure}), 1, 200).Draw(t, "codes")
		puback := blank[*packets.PubackPacket](packets.Puback)
		pubrec := blank[*packets.PubrecPacket](packets.Pubrec)
		pubrel := blank[*packets.PubrelPacket](packets.Pubrel)
		pubcomp := blank[*packets.PubcompPacket](packets.Pubcomp)
		unsuback := blank[*packets.UnsubackPacket](packets.Unsuback)
		puback.MessageID, pubrec.MessageID, pubrel.MessageID, pubcomp.MessageID, unsuback.MessageID = id, id, id, id, id
		publish := blank[*packets.PublishPacket](packets.Publish)
		publish.TopicName = rapid.StringMatching(`[a-z/]{1,200}`).Draw(t, "topic")
		publish.Payload = make([]byte, rapid.SampledFrom([]int{0, 1, 100, 127, 128, 16_383, 16_384, 70_000, 2_097_152}).Draw(t, "length"))

		for name, c := range map[string]struct {
			ours []byte
			paho packets.ControlPacket
		}{
			"CONNACK":  {ours: appendConnack(nil, connackCode(connack.ReturnCode)), paho: connack},
			"SUBACK":   {ours: appendSuback(nil, id, suback.ReturnCodes), paho: suback},
			"PUBACK":   {ours: appendAck(nil, typePuback, id), paho: puback},
			"PUBREC":   {ours: appendAck(nil, typePubrec, id), paho: pubrec},
			"PUBREL":   {ours: appendAck(nil, typePubrel, id), paho: pubrel},
			"PUBCOMP":  {ours: appendAck(nil, typePubcomp, id), paho: pubcomp},
			"UNSUBACK": {ours: appendAck(nil, typeUnsuback, id), paho: unsuback},
			"PINGRESP": {ours: appendPingresp(nil), paho: packets.NewControlPacket(packets.Pingresp)},
			"PUBLISH":  {ours: appendPublish(nil, publish.TopicName, publish.Payload), paho: publish},
		} {
			if want := encodePaho(t, c.paho); !bytes.Equal(c.ours, want) {
				t.Fatalf("%s: %x, paho sends %x", name, c.ours, want)
			}
		}
	})
}

// malformedPackets are whole packets that a server must not take, each by what is wrong with it.
func malformedPackets() map[string]string {
	connect := func(flags byte, rest string) string {
		body := "\x00\x04MQTT\x04" + string([]byte{flags}) + "\x00\x00" + rest
		return "\x10" + string([]byte{byte(len(body))}) + body
	}
	return map[string]string{
		"type 0":                                  "\x00\x00",
		"type 15":                                 "\xf0\x00",
		"a remaining length of five bytes":        "\xc0\x80\x80\x80\x80\x00",
		"a PINGREQ with a flag":                   "\xc1\x00",
		"a PINGREQ with a body":                   "\xc0\x01x",
		"a DISCONNECT with a body":                "\xe0\x01\x00",
		"a SUBSCRIBE without its flag":            "\x80\x06\x00\x01\x00\x01a\x00",
		"an UNSUBSCRIBE without its flag":         "\xa0\x05\x00\x01\x00\x01a",
		"a PUBREL without its flag":               "\x60\x02\x00\x01",
		"a PUBACK with a flag":                    "\x42\x02\x00\x01",
		"a PUBACK of packet id 0":                 "\x40\x02\x00\x00",
		"a PUBACK that is too long":               "\x40\x03\x00\x01\x00",
		"a PUBLISH of QoS 3":                      "\x36\x05\x00\x01a\x00\x01",
		"a duplicate of QoS 0":                    "\x38\x03\x00\x01a",
		"a PUBLISH of packet id 0":                "\x32\x05\x00\x01a\x00\x00",
		"a PUBLISH without a packet id":           "\x32\x03\x00\x01a",
		"a PUBLISH whose topic is cut short":      "\x30\x03\x00\x09a",
		"a PUBLISH without a topic":               "\x30\x02\x00\x00",
		"a PUBLISH to a wildcard":                 "\x30\x05\x00\x03a/#",
		"a PUBLISH to a $ topic":                  "\x30\x04\x00\x02$S",
		"a topic with U+0000":                     "\x30\x04\x00\x02a\x00",
		"a topic that is not UTF-8":               "\x30\x04\x00\x02a\xff",
		"a topic with a surrogate":                "\x30\x05\x00\x03\xed\xa0\x80",
		"a SUBSCRIBE without filters":             "\x82\x02\x00\x01",
		"a SUBSCRIBE of packet id 0":              "\x82\x06\x00\x00\x00\x01a\x00",
		"a SUBSCRIBE with QoS 3":                  "\x82\x06\x00\x01\x00\x01a\x03",
		"a SUBSCRIBE with reserved bits":          "\x82\x06\x00\x01\x00\x01a\x80",
		"a SUBSCRIBE with an empty filter":        "\x82\x05\x00\x01\x00\x00\x00",
		"a SUBSCRIBE with # in the middle":        "\x82\x08\x00\x01\x00\x03#/a\x00",
		"a SUBSCRIBE with + beside a letter":      "\x82\x07\x00\x01\x00\x02a+\x00",
		"an UNSUBSCRIBE without filters":          "\xa2\x02\x00\x01",
		"an UNSUBSCRIBE of packet id 0":           "\xa2\x05\x00\x00\x00\x01a",
		"an UNSUBSCRIBE with an empty filter":     "\xa2\x04\x00\x01\x00\x00",
		"an UNSUBSCRIBE with # in the middle":     "\xa2\x07\x00\x01\x00\x03#/a",
		"an UNSUBSCRIBE that is not UTF-8":        "\xa2\x05\x00\x01\x00\x01\xff",
		"an UNSUBSCRIBE with U+0000":              "\xa2\x05\x00\x01\x00\x01\x00",
		"a SUBSCRIBE that is not UTF-8":           "\x82\x06\x00\x01\x00\x01\xff\x00",
		"a SUBSCRIBE with U+0000":                 "\x82\x06\x00\x01\x00\x01\x00\x00",
		"a SUBSCRIBE with a surrogate":            "\x82\x08\x00\x01\x00\x03\xed\xa0\x80\x00",
		"a SUBSCRIBE without a QoS":               "\x82\x05\x00\x01\x00\x01a",
		"a PUBREL of packet id 0":                 "\x62\x02\x00\x00",
		"a PUBREC with a flag":                    "\x51\x02\x00\x01",
		"a PUBCOMP with a flag":                   "\x78\x02\x00\x01",
		"a DISCONNECT with a flag":                "\xe2\x00",
		"a topic with + as a level":               "\x30\x05\x00\x03a/+",
		"a CONNECT with the reserved flag":        connect(0x03, "\x00\x01d"),
		"a CONNECT with QoS of no will":           connect(0x0a, "\x00\x01d"),
		"a CONNECT with retain of no will":        connect(0x22, "\x00\x01d"),
		"a CONNECT with a will of QoS 3":          connect(0x1e, "\x00\x01d\x00\x01w\x00\x00"),
		"a CONNECT with a will on a wildcard":     connect(0x06, "\x00\x01d\x00\x01#\x00\x00"),
		"a CONNECT with a password alone":         connect(0x42, "\x00\x01d\x00\x01p"),
		"a CONNECT with more than it says":        connect(0x02, "\x00\x01dx"),
		"a CONNECT with less than it says":        connect(0x82, "\x00\x01d"),
		"a CONNECT of another protocol":           "\x10\x0d\x00\x04AMQP\x04\x02\x00\x00\x00\x01d",
		"a CONNECT whose client id has U+0000":    connect(0x02, "\x00\x01\x00"),
		"a CONNECT that ends within its protocol": "\x10\x03\x00\x04M",
	}
}

func TestMalformedPacketsAreRefused(t *testing.T) {
	t.Parallel()
	for name, data := range malformedPackets() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if d, _, err := decodeOurs([]byte(data)); err == nil {
				t.Errorf("accepted as %+v", d)
			} else if v := violation(""); !errors.As(err, &v) && !strings.Contains(err.Error(), "cut short") {
				t.Errorf("error %v is no violation", err)
			}
		})
	}
}

func TestUnusualPacketsAreAccepted(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"a padded remaining length":              "\xc0\x80\x80\x80\x00",
		"a PUBLISH without a payload":            "\x30\x03\x00\x01a",
		"a PUBLISH marked as a duplicate":        "\x3a\x05\x00\x01a\x00\x01",
		"a PUBLISH to be retained":               "\x31\x03\x00\x01a",
		"a topic of slashes":                     "\x30\x05\x00\x03///",
		"a CONNECT of MQTT 5, up to its level":   "\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01d",
		"a CONNECT of MQTT 3.1, up to its level": "\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x00\x00\x01d",
		"a SUBSCRIBE to everything":              "\x82\x06\x00\x01\x00\x01#\x00",
		"a SUBSCRIBE to a level of anything":     "\x82\x0a\x00\x01\x00\x05+/a/#\x02",
	}
	for name, data := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := decodeOurs([]byte(data)); err != nil {
				t.Error(err)
			}
		})
	}
}
