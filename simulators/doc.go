// Package simulators plays patients and devices seen only from outside: it speaks docs/wire.md and the staff API
// like any stranger. A Life is an invented person: what is normal for them and how it changes with the hour and the day
// (body.go), what goes wrong (trouble.go), when they measure (diary.go) and with what (instrument.go), and when their
// devices have a line (line.go). A Cohort draws lives for a Scenario, a Fleet connects their devices, and a score says
// which alerts told of what was made to happen. Beside them stand the demo, the replay of recorded data sets with its
// score, and a raw publisher that counts the acknowledgements on its own socket.
package simulators
