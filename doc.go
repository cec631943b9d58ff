// Package hale watches over elderly people with chronic illness at home: their devices stream readings over MQTT, each
// reading is judged against that patient's own limits, and nurses triage the alerts. Medication plans and reminders on
// patients' phones are the second way; it is not built yet. This package holds no code. It is the map of the house.
//
// # The first way: from a reading to a next step
//
//	reading -> ingest -> stream -> alerts.Decider -> episode -> triage -> resolved with an outcome and a next step
//
// A device publishes what it measured to the device edge (ingest/edge), Hale's own MQTT listener; docs/wire.md says how.
// The core (ingest) decodes the message, normalises the units, checks plausibility and asks who the sensor belongs to
// (devices). What it accepts, and what it refuses with a reason and the raw bytes, goes into an envelope: one message of
// the embedded JetStream (stream) that carries many readings of one partition. When that message is on disk, and not
// before, the edge acknowledges to the device. From here on nothing may be lost, whatever dies.
//
// A partition's owner (alerts.Processor) takes envelopes in order, the live ones before the late. It loads the situation
// of each patient concerned, and decides (alerts.Decider): pure functions extend the condition track of every rule, the
// intervals in which it held, and fold the changes into episodes. One transaction (postgres.Work.Advance) writes readings,
// tracks, episodes, the timeline, the notices to send, and the position in the stream. Either all of it happened or none,
// so a batch that is read twice is stored once.
//
// A canary of every edge travels this way every few seconds, and is missed when it does not arrive (docs/adr/0012).
//
// An episode that opens appears on the board (web) through a live feed (api/feed) within a moment. A nurse acknowledges
// it, which has an end, and resolves it, which demands a next step. Every act is checked by
// account.Allow and leaves an audit row.
//
// # The second way: from a plan to adherence
//
//	plan -> schedule -> due dose -> reminder -> push -> taken | snoozed | skipped | not sure | missed -> adherence
//
// This way is not built yet; what stands of it today are the places in which it will live (push, careplan) and the shape
// it will have. A signed medication plan is expanded into doses. Each dose is a row in the record, and the row is the
// job: it is claimed under a lease when it is due, the patient is reminded (careplan.Reminder), the notice leaves through
// an outbox (push.Dispatcher), and the answer, or its absence, settles the dose. No clock is kept in memory, so a restart
// forgets nobody.
//
// # The rooms
//
// The words:
//
//   - vital: who and what is measured: ids, metrics (LOINC), units (UCUM), quantities, the reading and its identity.
//   - fault: the kinds of error, from which every edge derives its status, its acknowledgement and its retry.
//
// The domains, which decide and use the standard library only:
//
//   - account: organisation, person, role, care team, hours and roster, broken glass, audit, and Allow, which says who may do what
//     to whom. account/consent is what patients decide (consents, caregivers, private items, the end of care), account/identity who
//     they are (identifiers, imports, doubles), account/audit the seal of the trail. account/signin holds passwords, codes, sessions
//     and API keys (account/signin/oidc single sign-on), account/guess the waits and the codes that keep guessers out.
//   - devices: device, sensor, kit, assignment to a patient over time; clocks, presence, outages as incidents, and what is wrong
//     with devices. devices/credential is pairing, secrets and certificates, devices/measuring the schedule, its coverage and whether
//     it was measured well, devices/downlink what devices are asked.
//   - careplan (empty yet): goals, medication plan, schedule, doses, adherence, reminders.
//   - alerts: rules (limits and trends so far), the condition track, the episode, the Processor, triage. Escalation is to come.
//     alerts/score computes early-warning scores (NEWS2).
//   - push: the notice, a row of the outbox; channels, their deliveries, and the Dispatcher that hands them over. push/webhook sends
//     them signed. Web push (push/webpush) and subscriptions are to come.
//   - safe: the patient's data safe: who looked, a copy of everything, links, corrections; filing anew, erasing.
//   - fhir: FHIR R4 resources in and out, with no opinion about who may.
//
// The edges, which act:
//
//   - ingest: the core and its decoders; ingest/formats the formats of the world (FHIR, Open mHealth, Bluetooth, makers' JSON) as
//     pure functions; ingest/edge the MQTT listener, ingest/bridge the client of other
//     people's brokers, with mapping files for what they carry.
//   - stream: envelopes in and out, the janitor, the live feed, and the embedded NATS server.
//   - postgres: the record: pool, roles, migrations, one file per domain; postgres/embedded runs the database server.
//   - api: JSON over HTTP described by OpenAPI; api/session and api/feed serve the screens too; api/fhirmap maps
//     what we hold to FHIR and back.
//   - web: the screens, rendered on the server, with all assets embedded.
//   - authority: the certificates of the encrypted doors: an own certificate authority, or files that somebody renews.
//   - simulators: patients and devices seen only from outside: invented people with bodies, habits, troubles and fleets of
//     devices, the demo, the replay of a data set, scores of both, a raw publisher.
//   - cmd/hale: the one binary: up, serve, migrate, organisation, staff, keys, broker, import, export, audit, erase, simulate, replay, map, decode, conformance, bench, doctor. Wiring only.
//   - internal: helpers that tests share, and nothing else.
//
// Beside the rooms lie samples: programs for device makers, which the tests of ingest/edge run.
//
// Which room may import which is a table in arch_rules_test.go, and the tests of this package fail on any other arrow.
// Why the house has this shape is told in docs/adr.
package hale
