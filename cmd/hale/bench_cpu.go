package main

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cpuReport is processor time for one reading, in microseconds: unlike speed it hardly depends on what else the machine
// does.
type cpuReport struct {
	Hale       float64 `json:"hale_us"`
	PostgreSQL float64 `json:"postgresql_us"`
	Generator  float64 `json:"generator_us"`
}

// cpuMeter reads processor time of this process and of PostgreSQL's.
type cpuMeter struct {
	postmaster     int
	hale, database time.Duration
}

func (g *ground) meter() cpuMeter {
	return cpuMeter{postmaster: g.postmaster, hale: ownCPU(), database: familyCPU(g.postmaster)}
}

// since tells what was used from the meter's making on, by so many readings and a generator that has ended.
func (m cpuMeter) since(readings int, l *generator) cpuReport {
	return cpuReport{
		Hale: each(ownCPU()-m.hale, readings), PostgreSQL: each(familyCPU(m.postmaster)-m.database, readings),
		Generator: each(l.process.ProcessState.UserTime()+l.process.ProcessState.SystemTime(), readings),
	}
}

// each is the time of one reading in microseconds.
func each(d time.Duration, readings int) float64 {
	return math.Round(float64(d.Nanoseconds())/float64(readings)/10) / 100
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// familyCPU is the processor time of a process and its children, those that have ended too, as Linux counts it; 0 elsewhere.
func familyCPU(parent int) time.Duration {
	const perTick = 10 * time.Millisecond // USER_HZ is 100 for every program
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0
	}
	total := time.Duration(0)
	for _, path := range stats {
		b, err := os.ReadFile(path) //nolint:gosec // processes of this machine
		if err != nil {
			continue // it has ended meanwhile
		}
		text := string(b)
		fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // from the state on: proc(5)
		pid := filepath.Base(filepath.Dir(path))
		if len(fields) < 15 || fields[1] != strconv.Itoa(parent) && pid != strconv.Itoa(parent) {
			continue
		}
		times := fields[11:13] // utime and stime
		if pid == strconv.Itoa(parent) {
			times = fields[11:15] // ... and those of children that have ended
		}
		for _, f := range times {
			ticks, err := strconv.ParseInt(f, 10, 64)
			if err == nil {
				total += time.Duration(ticks) * perTick
			}
		}
	}
	return total
}
