// Package simulators plays patients and devices seen only from outside: it speaks docs/wire.md and the staff API
// like any stranger. It holds the living patients of the demo, the replay of recorded data sets with its score, and
// a raw publisher that counts the acknowledgements on its own socket.
package simulators
