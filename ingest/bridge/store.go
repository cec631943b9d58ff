package bridge

import "github.com/eclipse/paho.mqtt.golang/packets"

// forgetful is a store of paho's that keeps nothing. paho's memory store keeps what was received and not acknowledged,
// and deals it out anew after a reconnect under its old packet id. The broker has that message too, and sends it again; or
// it has lost it and given the id to another message, which our late acknowledgement would then delete unread. We publish
// nothing, so that there is nothing else to keep.
type forgetful struct{}

// Open does nothing.
func (forgetful) Open() {}

// Put forgets the packet.
func (forgetful) Put(string, packets.ControlPacket) {}

// Get finds nothing.
func (forgetful) Get(string) packets.ControlPacket { return nil }

// All finds nothing.
func (forgetful) All() []string { return nil }

// Del has nothing to delete.
func (forgetful) Del(string) {}

// Close does nothing.
func (forgetful) Close() {}

// Reset does nothing.
func (forgetful) Reset() {}
