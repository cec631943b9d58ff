// Package vital holds the words of measurement: who and what is measured (ids, Metric by LOINC), in which Unit
// (UCUM), the Quantity as the device sent it, the Reading that travels from the edge to the record, its identity,
// and whether it is plausible. It knows no transport and no storage.
package vital
