package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// The worst that can be for a partition: everything that waits is one patient's own, and it is all there before anybody
// reads.
func TestAPresentRedReadingIsJudgedBeforeTheBacklogOfADay(t *testing.T) {
	t.Parallel()
	const messages, perMessage = 300, 100
	a := newApart(t)
	k := newKit(t, a.staff, "backlog-1", time.Now().AddDate(0, 0, -3))
	line := k.dial(t, a.mqtt)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	now := time.Now()
	for m := range messages {
		list := make([]string, perMessage)
		for i := range list {
			at := now.Add(-24 * time.Hour).Add(time.Duration(m*perMessage+i) * 2 * time.Second)
			list[i] = fmt.Sprintf(`{"metric":"heart_rate","value":%d,"unit":"/min","time":%q}`, 62+i%20, at.UTC().Format(time.RFC3339))
		}
		if err := line.Publish(ctx, k.topic(), []byte("["+strings.Join(list, ",")+"]"), func(time.Time) {}); err != nil {
			t.Fatal(err)
		}
	}
	red := fmt.Appendf(nil, `{"metric":"heart_rate","value":141,"unit":"/min","time":%q}`, now.UTC().Format(time.RFC3339))
	if err := line.Publish(ctx, k.topic(), red, func(time.Time) {}); err != nil {
		t.Fatal(err)
	}
	if err := line.Drain(ctx); err != nil {
		t.Fatal(err)
	}

	conn, err := pgx.Connect(t.Context(), a.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	state := func() (alerts, readings int) {
		const both = `SELECT (SELECT count(*) FROM episode WHERE state = 'open' AND holds AND NOT historic AND level = 2), (SELECT count(*) FROM reading)`
		if err := conn.QueryRow(ctx, both).Scan(&alerts, &readings); err != nil {
			t.Fatal(err)
		}
		return alerts, readings
	}
	a.serve(t, "process")
	eventually(t, time.Minute, func() string {
		alerts, readings := state()
		if readings > messages*perMessage/2 && alerts == 0 {
			t.Fatalf("%d late readings were stored before the present red one was judged", readings)
		}
		if alerts == 0 {
			return "there is no alert"
		}
		return ""
	})
	eventually(t, time.Minute, func() string {
		if alerts, readings := state(); readings != messages*perMessage+1 || alerts != 1 {
			return fmt.Sprintf("%d readings and %d alerts are in the record, want %d and 1", readings, alerts, messages*perMessage+1)
		}
		return ""
	})
}
