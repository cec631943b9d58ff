// Package postgres is the record: the source of truth. Everything before it is a replayable buffer. It owns
// transactions, locks and SQL; what is decided inside a transaction the domains decide in pure functions.
//
// Three doors lead in, each with a database role of its own: Migrate (hale_migrate, and hale_owner for the tables),
// App (hale_app, held to one organisation by row level security: what people ask for) and Work (hale_work: what the
// processor and the edges' registry need, across organisations).
package postgres
