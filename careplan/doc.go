// Package careplan is the room of the second way: care plan, medication plan, schedule, doses, reminders and
// adherence. Nothing lives in it yet; doc.go at the root tells what will.
package careplan
