// Package alerts judges readings. A rule, personal and versioned, folds a patient's readings into its condition
// track: the intervals in which it held (track.go, a pure function of readings and rule versions, in measured
// order). A limit judges single readings (judge.go), a trend looks back on local days (history.go, trend_judge.go).
// Changes of a track, acts of people and timers fold, in the order they were recorded, into episodes: what a nurse sees
// and handles (episode.go, pure as well). The Processor reads the stream and commits what was decided together with the
// readings and its position; Triage is what people do.
package alerts
