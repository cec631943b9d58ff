package main

import (
	"errors"
	"fmt"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"hale/safe"
)

// question is a valid request of a route. Words in braces stand for things of a scene (see things): those of a patient make
// the request one about a patient, which is then asked about each class.
type question struct {
	route  string // as in the table: method, pattern, and in brackets what is special when a route is asked twice
	method string
	path   string
	json   string
	form   string   // fields of a form, as in a query
	file   string   // sent as the field "file" beside them
	header string   // "Name: value"
	state  []string // statements that bring the scene's things into the state for it, before anybody asks; {me} is who asks
	// learn does what comes before the request, as who asks, and returns what it showed.
	learn func(t *testing.T, w *town, p person, c class) map[string]string
}

// special are the requests that need more than their path. A route that is asked twice has its further rows here.
func special() map[string]question {
	all := specialOfPatients()
	maps.Copy(all, specialOfParked())
	maps.Copy(all, specialOfCertificates())
	maps.Copy(all, specialOfPresence())
	maps.Copy(all, specialOfWebhooks())
	return all
}

func specialOfPatients() map[string]question {
	return map[string]question{
		"GET /":                               {},
		"GET /static/:stamp/*":                {path: "/static/x/app.css"},
		"POST /v1/session":                    {json: `{"login":"{login}","password":"` + townPassword + `"}`},
		"POST /signin":                        {form: "login={login}&password=" + url.QueryEscape(townPassword)},
		"POST /v1/patients":                   {json: `{"name":"Somebody New","zone":"Europe/Ljubljana"}`},
		"GET /v1/patients/:id/series":         {path: "/v1/patients/{patient}/series?metric=heart_rate"},
		"PUT /v1/patients/:id/limits/:metric": {json: `{"enabled":true,"effective_from":"{now}","reason":"asked","components":[{"red_high":130}]}`, header: `If-Match: "1"`},
		"PUT /v1/patients/:id/trends/:metric/:form": {
			path: "/v1/patients/{patient}/trends/body_weight/change", header: "If-Match: *",
			json: `{"enabled":true,"effective_from":"{now}","reason":"asked","change":{"part":{"from":"04:00","until":"12:00"},"steps":[{"level":"red","direction":"rise","by":2,"days":3}]}}`,
		},
		"PUT /v1/patients/:id/schedule":                             {json: `{"lines":[{"metric":"heart_rate","first":"2026-01-01","times":[{"from":"07:00","to":"10:00"}]}],"reason":"asked"}`, header: "If-Match: *"},
		"POST /v1/patients/:id/schedule/pauses":                     {json: `{"kind":"hospital","reason":"She fell."}`},
		"POST /patients/:id/schedule":                               {form: "version=0&reason=asked&metric0=heart_rate&times0=07:00-10:00&first0=2026-01-01"},
		"POST /patients/:id/usual/:metric":                          {form: "version=0&reason=asked&days=7&gap=0&leastdays=3&leastsessions=3&leastspread=3&clearafter=1&by-yellow-rise=20"},
		"POST /patients/:id/pauses":                                 {form: "kind=hospital&reason=She+fell."},
		"POST /v1/doubts/:id/answer":                                {json: `{"answer":"theirs"}`},
		"POST /doubts/:id/answer":                                   {form: "answer=theirs"},
		"POST /v1/devices":                                          {json: `{"model":"Cuff"}`},
		"POST /v1/kits":                                             {json: `{"label":"Box"}`},
		"PUT /v1/kits/:id/devices/:device":                          {path: "/v1/kits/{kit}/devices/{sparedevice}", state: kitInStock("stock")},
		"DELETE /v1/kits/:id/devices/:device":                       {state: kitInStock("stock")},
		"POST /v1/kits/:id/issue":                                   {json: `{"patient":"{patient}"}`, state: kitInStock("stock")},
		"POST /v1/kits/:id/confirmations":                           {json: `{"cuff":true}`},
		"POST /v1/kits/:id/accept":                                  {state: kitReady()},
		"POST /v1/kits/:id/accept (something is missing)":           {},
		"POST /v1/kits/:id/clean":                                   {state: kitInStock("returned")},
		"POST /v1/kits/:id/stock":                                   {state: kitInStock("cleaning")},
		"POST /v1/kits/:id/retire":                                  {state: kitInStock("stock")},
		"POST /v1/device-types":                                     {json: `{"maker":"Acme","model":"Clip","kind":"oximeter"}`},
		"PUT /v1/devices/:uid/description":                          {json: `{"lot":"L1"}`},
		"DELETE /v1/devices/:uid/assignments":                       {state: deviceHeld()},
		"GET /v1/recall":                                            {path: "/v1/recall?model=Cuff"},
		"GET /devices/recall":                                       {path: "/devices/recall?model=Cuff"},
		"POST /devices":                                             {form: "model=Cuff"},
		"POST /devices/kits":                                        {form: "label=Box"},
		"POST /devices/types":                                       {form: "maker=Acme&model=Clip&kind=oximeter&slots=1"},
		"POST /devices/kits/:id/fill":                               {form: "device={sparedevice}", state: kitInStock("stock")},
		"POST /devices/kits/:id/empty":                              {form: "device={device}", state: kitInStock("stock")},
		"POST /devices/kits/:id/issue":                              {form: "who=x&other={patient}", state: kitInStock("stock")},
		"POST /devices/kits/:id/confirm":                            {form: "cuff=yes"},
		"POST /devices/kits/:id/accept":                             {state: kitReady()},
		"POST /devices/kits/:id/clean":                              {state: kitInStock("returned")},
		"POST /devices/kits/:id/stock":                              {state: kitInStock("cleaning")},
		"POST /devices/kits/:id/retire":                             {state: kitInStock("stock")},
		"POST /devices/about/:uid/describe":                         {form: "sensor={device}&lot=L1"},
		"POST /devices/about/:uid/end":                              {form: "sensor={device}", state: deviceHeld()},
		"POST /v1/devices/:uid/assignments":                         {json: `{"patient":"{patient}","from":"{now}"}`},
		"POST /v1/devices/:uid/assignments (a device of ours)":      {path: "/v1/devices/{sparedevice}/assignments", json: `{"patient":"{patient}","from":"{now}"}`},
		"POST /v1/devices/:uid/assignments (for a patient of ours)": {json: `{"patient":"{ours}","from":"{now}"}`},
		"POST /v1/pair": {json: `{"code":"{code}"}`, state: []string{`INSERT INTO pairing_code (org_id, uid, device_id, lookup, code_hash, created_at, expires_at)
			SELECT org_id, gen_random_uuid(), id, left('{code}', 4), sha256('{code}'), now(), now() + interval '1 hour' FROM device WHERE uid = '{owndevice}' ON CONFLICT DO NOTHING`}},
		"POST /v1/devices/:uid/secret":                                    {json: `{}`},
		"DELETE /v1/devices/:uid/secret/old":                              {path: "/v1/devices/{device}/secret/old", state: twoSecrets()},
		"POST /devices/:uid/secret":                                       {form: "hours=24"},
		"POST /devices/:uid/secret/end":                                   {path: "/devices/{device}/secret/end", state: twoSecrets()},
		"GET /devices/:uid/pair/state":                                    {path: "/devices/{device}/pair/state"},
		"POST /v1/broker/auth":                                            {json: `{"clientid":"x"}`},
		"POST /v1/broker/acl":                                             {json: `{"topic":"x"}`},
		"GET /v1/alerts (of one patient)":                                 {path: "/v1/alerts?patient={patient}"},
		"GET /v1/alerts (before one of them)":                             {path: "/v1/alerts?before={alert}"},
		"POST /v1/alerts/:id/acknowledge":                                 {json: `{"minutes":30}`, header: `If-Match: "1"`},
		"POST /v1/alerts/:id/resolve":                                     {json: `{"next_step":"none"}`, header: `If-Match: "1"`},
		"POST /alerts/:id/acknowledge":                                    {form: "version=1"},
		"POST /alerts/:id/resolve":                                        {form: "version=1&next_step=none"},
		"POST /me/second-factor":                                          {form: "password=" + url.QueryEscape(townPassword)},
		"POST /v1/session/code":                                           {json: `{"code":"{code}"}`},
		"PUT /v1/me/password":                                             {json: `{"current":"` + townPassword + `","new":"a heron over the reeds"}`},
		"DELETE /v1/me/sessions/:id":                                      {path: "/v1/me/sessions/{mine}"},
		"POST /v1/patients/:id/codes":                                     {json: `{}`},
		"POST /consents/:id/decide":                                       {form: "page=desk&what=research+given+1&through=in_person&witness=A+colleague"},
		"POST /consents/:id/ending":                                       {form: "page=desk&step=told&how=phone", state: careEnds()},
		"POST /consents/:id/people":                                       {form: "page=people&name=Eva&scope=see+patients&reason=She+said+so."},
		"POST /consents/:id/people/:who/end":                              {path: "/consents/{patient}/people/{caregiver}/end", form: "page=people"},
		"POST /consents/:id/people/:who/confirm":                          {path: "/consents/{patient}/people/{caregiver}/confirm", form: "page=desk", state: guardianWaits()},
		"POST /v1/patients/:id/guardians/:caregiver/confirm":              {state: guardianWaits()},
		"POST /v1/patients/:id/guardians/:caregiver/confirm (none waits)": {},
		"POST /consents/:id/people/:who/frozen":                           {path: "/consents/{patient}/people/{caregiver}/frozen", form: "page=people&frozen=yes"},
		"POST /consents/:id/private":                                      {form: "page=private&metric=heart_rate"},
		"POST /consents/:id/private/:item/show":                           {form: "page=private"},
		"POST /consents/:id/requests/:request":                            {form: "page=desk&answer=refuse"},
		"POST /patients/:id/identity/:identifier/end":                     {path: "/patients/{patient}/identity/{identifier}/end", form: "reason=It+was+another's."},
		"POST /v1/imports":                                                {path: "/v1/imports?kind=patients", json: "name,zone\nSomebody New,Europe/Ljubljana\n"},
		"POST /v1/refiles":                                                {json: `{"sensor":"{device}","from":"{began}","to":"{now}","owner":"{patient}","reason":"It was the wrong box."}`},
		"POST /v1/refiles/:id/undo":                                       {json: `{"reason":"It was right."}`},
		"POST /v1/merges":                                                 {json: `{"patient":"{patient}","into":"{spare}","reason":"She was taken in twice.","confirm":"{confirm}","override":"Both came."}`, state: twoRecords(), learn: compared},
		"POST /v1/merges (to look first)":                                 {json: `{"patient":"{patient}","into":"{twin}","dry_run":true}`},
		"POST /v1/merges/:id/undo":                                        {json: `{"reason":"They are two."}`, state: noErasure()},
		"DELETE /v1/teams/:id/members/:staff":                             {path: "/v1/teams/{team}/members/{member}"},
		"DELETE /v1/teams/:id/patients/:patient":                          {path: "/v1/teams/{spareteam}/patients/{patient}"},
		"POST /v1/patients/:id/consents":                                  {json: `{"purpose":"research","version":1,"language":"en","choice":"given","through":"in_person","witness":"A colleague"}`},
		"POST /v1/patients/:id/consents (oneself)":                        {json: `{"purpose":"research","version":1,"language":"en","choice":"given"}`},
		"POST /v1/me/consents":                                            {json: `{"purpose":"research","version":1,"language":"en","choice":"given"}`},
		"POST /v1/patients/:id/consents/requests/:request":                {json: `{"accept":false}`},
		"POST /v1/consent-texts":                                          {json: `{"purpose":"research","language":"en","text":"Other words."}`},
		"POST /v1/patients/:id/offboarding":                               {json: `{"step":"told","how":"phone"}`, state: careEnds()},
		"POST /v1/patients/:id/offboarding (care goes on)":                {json: `{"step":"told","how":"phone"}`},
		"POST /v1/patients/:id/corrections":                               {json: `{"kind":"birth","wish":"It was a year before."}`},
		"POST /v1/corrections/:id/decide":                                 {json: `{"accept":false,"answer":"It is right."}`},
		"POST /v1/patients/:id/shares":                                    {json: `{"what":"sheet","minutes":60,"opens":3}`},
		"POST /v1/me/caregivers":                                          {json: `{"name":"Eva","scopes":["see patients"]}`},
		"POST /v1/patients/:id/caregivers":                                {json: `{"name":"Eva","scopes":["see patients"],"reason":"She said so."}`},
		"POST /v1/patients/:id/guardians":                                 {json: `{"name":"Eva","scopes":["see patients"],"document":"Folder 3","to":"{later}","reason":"The court said so."}`},
		"POST /v1/me/private":                                             {json: `{"kind":"metric","metric":"glucose"}`},
		"POST /v1/patients/:id/private":                                   {json: `{"kind":"metric","metric":"heart_rate"}`},
		"DELETE /v1/me/caregivers/:caregiver/frozen":                      {state: frozenView()},
		"DELETE /v1/patients/:id/caregivers/:caregiver/frozen":            {state: frozenView()},
		"POST /staff/:id/enable":                                          {state: disabledStaff()},
		"POST /v1/accounts/:id/enable":                                    {state: disabledStaff()},
		"POST /imports/:id/commit":                                        {state: checkedFile()},
		"POST /v1/imports/:id/commit":                                     {state: checkedFile()},
		"POST /v1/patients/:id/erasures":                                  {json: `{"wish":"All of it."}`, state: noErasure()},
		"POST /v1/patients/:id/erasures (asked for already)":              {json: `{"wish":"All of it."}`},
		"POST /v1/erasures/:id/decision":                                  {json: `{"refuse":true,"answer":"The law says ten years."}`},
		"POST /v1/erasures/:id/confirmation":                              {json: `{"number":{request_number},"told":"At home, on the first."}`, state: decidedErasure()},
		"POST /v1/erasures/:id/confirmation (not decided)":                {json: `{"number":{request_number}}`},
		"POST /v1/patients/:id/identifiers":                               {json: `{"system":"urn:oid:1.2.36.1","value":"{number}"}`},
		"POST /v1/patients/:id/identifiers/:identifier/end":               {json: `{"reason":"It was another's."}`},
		"PUT /v1/identifier-systems":                                      {json: `{"uri":"urn:oid:1.2.36.9","title":"Insurance number","folds":false}`},
		"POST /v1/doubles/:id/two-people":                                 {json: `{"reason":"Both came."}`},
		"POST /break-glass":                                               {form: "number=N-{number}&reason=She+called+the+wrong+number.&minutes=30", state: inNoTeam()},
		"POST /access/:id/review":                                         {form: "finding=It+was+so."},
		"POST /teams":                                                     {form: "name=Night"},
		"POST /teams/:id/rename":                                          {form: "name=Night+{number}"},
		"POST /teams/:id/end":                                             {path: "/teams/{spareteam}/end"},
		"POST /teams/:id/members":                                         {form: "staff={joiner}"},
		"POST /teams/:id/members/:staff/leave":                            {path: "/teams/{team}/members/{member}/leave"},
		"POST /teams/:id/patients/:patient/leave":                         {path: "/teams/{spareteam}/patients/{patient}/leave"},
		"POST /teams/:id/patients":                                        {form: "number=N-{number}", state: inNoTeam()},
		"POST /teams/:id/hours":                                           {form: "zone=Europe/Ljubljana&reason=asked&version=0"},
		"POST /teams/:id/shifts":                                          {form: "staff={member}&duty=backup&from={tomorrow}T08:00&to={tomorrow}T16:00"},
		"DELETE /v1/break-glass/:id":                                      {state: ownGlass()},
		"DELETE /v1/break-glass/:id (a colleague's)":                      {},
		"POST /break-glass/:id/end":                                       {state: ownGlass()},
		"GET /imports/:id/left.csv":                                       {state: keptFile()},
		"GET /v1/imports/:id/left.csv":                                    {state: keptFile()},
		"GET /v1/imports/:id/left.csv (not kept any more)":                {},
		"DELETE /v1/me/sessions/:id (of another)":                         {path: "/v1/me/sessions/{session}"},
		"POST /s":                                              {form: "code={opens}"},
		"POST /doubles/:id/two-people":                         {form: "reason=Both+came."},
		"POST /v1/staff-invitations/accept":                    {json: `{"code":"{newcode}","password":"a heron over the reeds"}`},
		"POST /welcome":                                        {form: "code={newcode}&password=a+heron+over+the+reeds"},
		"POST /code":                                           {form: "code={code}"},
		"POST /new-patient":                                    {form: "name=Somebody+New&zone=Europe/Ljubljana&sex=unknown"},
		"POST /imports":                                        {form: "kind=patients", file: "name,zone\nSomebody New,Europe/Ljubljana\n"},
		"POST /patients/:id/identity":                          {form: "system=urn:oid:1.2.36.1&value={number}"},
		"PUT /v1/erasure-policy":                               {json: `{"cooling_days":14,"backup_days":90,"retention":[` + keptNothing() + `]}`},
		"GET /safe/:id":                                        {path: "/safe/{patient}"},
		"POST /safe/:id/shares":                                {form: "what=sheet&lasts=1h&opens=3"},
		"POST /safe/:id/corrections":                           {form: "about=birth&wish=It+was+a+year+before."},
		"POST /safe/:id/corrections/:correction/decide":        {form: "decision=refuse&answer=It+is+right."},
		"POST /safe/:id/erasure":                               {form: "wish=All+of+it.", state: noErasure()},
		"POST /erasures/:id/decide":                            {form: "decision=refuse&answer=The+law+says+ten+years."},
		"POST /erasures/:id/confirm":                           {form: "number={request_number}&told=At+home%2C+on+the+first.", state: decidedErasure()},
		"GET /v1/erasures/:id/receipt":                         {state: carriedOut()},
		"GET /v1/erasures/:id/receipt (nothing was erased)":    {},
		"GET /erasures/:id/receipt":                            {state: carriedOut()},
		"GET /erasures/:id/receipt.json":                       {state: carriedOut()},
		"GET /erasures/:id/receipt.json (nothing was erased)":  {},
		"POST /me/password":                                    {form: "current=" + url.QueryEscape(townPassword) + "&new=a+heron+over+the+reeds&again=a+heron+over+the+reeds"},
		"POST /me/sessions/:session/end":                       {path: "/me/sessions/{mine}/end"},
		"POST /keys":                                           {form: "name=Hospital&scope=see+patients&days=30"},
		"POST /refiles/:id/undo":                               {form: "reason=It+was+right."},
		"POST /merges/:id/undo":                                {form: "reason=They+are+two.", state: noErasure()},
		"POST /patients/:id/merge":                             {form: "into={spare}&seen=yes&confirm={confirm}&reason=She+was+taken+in+twice.&override=Both+came.", state: twoRecords(), learn: compared},
		"POST /patients/:id/refile":                            {form: "way=nobody&sensor={device}&from={began_local}&to={now_local}&reason=It+was+the+wrong+box.&seen=yes"},
		"POST /patients/:id/refile (to look first)":            {form: "way=nobody&sensor={device}&from={began_local}&to={now_local}&reason=It+was+the+wrong+box."},
		"POST /v1/keys":                                        {json: `{"name":"Hospital","scopes":["see patients"]}`},
		"POST /v1/break-glass":                                 {json: `{"patient":"{patient}","reason":"She called the wrong number.","minutes":30}`},
		"POST /v1/break-glass/:id/review":                      {json: `{"finding":"It was so."}`},
		"POST /v1/teams":                                       {json: `{"name":"Night"}`},
		"PATCH /v1/teams/:id":                                  {json: `{"name":"Night {number}"}`},
		"DELETE /v1/teams/:id":                                 {path: "/v1/teams/{spareteam}"},
		"POST /v1/accounts":                                    {json: `{"login":"new-{number}","name":"Newcomer","role":"nurse"}`},
		"PUT /v1/accounts/:id":                                 {json: `{"name":"Newcomer","role":"nurse"}`},
		"POST /staff":                                          {form: "login=new-{number}&name=Newcomer&role=nurse"},
		"POST /staff/:id":                                      {form: "name=Newcomer&role=nurse"},
		"POST /v1/teams/:id/members":                           {json: `{"staff":"{joiner}"}`},
		"POST /v1/teams/:id/patients":                          {json: `{"patient":"{patient}"}`, state: inNoTeam()},
		"PUT /v1/teams/:id/hours":                              {json: `{"zone":"Europe/Ljubljana","weekly":{"monday":[],"tuesday":[],"wednesday":[],"thursday":[],"friday":[],"saturday":[],"sunday":[]},"reason":"asked"}`, header: "If-Match: *"},
		"GET /v1/teams/:id/roster":                             {path: "/v1/teams/{team}/roster?from={now}&to={soon}"},
		"POST /v1/teams/:id/shifts":                            {json: `{"staff":"{member}","duty":"backup","from":"{now}","to":"{soon}"}`},
		"POST /me/second-factor/confirm":                       {form: "code={totp}", learn: offeredCode},
		"POST /me/second-factor/confirm (nothing was offered)": {form: "code=000000"},
		"POST /me/second-factor/remove":                        {form: "password=" + url.QueryEscape(townPassword) + "&code=000000"},
	}
}

// The states of things that a question needs.

func decidedErasure() []string {
	return []string{
		`UPDATE erasure SET state = 'decided', decided_by = (SELECT id FROM staff WHERE uid = '{member}'), decided_at = now() WHERE uid = '{erasure}'`,
		`UPDATE episode SET state = 'closed', closing = 'cleared', closed_at = now() WHERE uid = '{alert}'`,
	}
}

func carriedOut() []string {
	return []string{`UPDATE erasure SET state = 'kept', decided_at = now(), cut_at = now(), executed_at = now(), receipt = '{receipt}' WHERE uid = '{erasure}'`}
}

func noErasure() []string {
	return []string{`UPDATE erasure SET state = 'withdrawn' WHERE uid = '{erasure}'`}
}

func careEnds() []string {
	return []string{
		`INSERT INTO ending_step (org_id, uid, patient_id, kind, at, actor_name, actor_role) SELECT org_id, gen_random_uuid(), id, 'started', now(), name, 'patient' FROM patient WHERE uid = '{patient}'`,
		`UPDATE patient SET state = 'ending' WHERE uid = '{patient}'`,
	}
}

func guardianWaits() []string {
	return []string{`UPDATE caregiver_grant SET guardian = true, document = 'Folder 3', to_at = now() + interval '90 days', staff_id = (SELECT id FROM staff WHERE uid = '{member}') WHERE uid = '{grant}'`}
}

func twoRecords() []string {
	return []string{
		`UPDATE merge SET state = 'undone', undo_name = 'Desk', undo_at = now() WHERE uid = '{merge}'`,
		`UPDATE patient SET state = 'active', merged_into = NULL WHERE uid = '{spare}'`,
		noErasure()[0], // none is merged who asks to be forgotten
	}
}

func ownGlass() []string {
	return []string{`UPDATE break_glass g SET staff_id = s.id, until_at = now() + interval '10 minutes' FROM staff s WHERE g.uid = '{glass}' AND s.org_id = g.org_id AND s.id = {me}`}
}

func keptFile() []string {
	return []string{`UPDATE import SET content = convert_to('name,zone' || chr(10), 'UTF8') WHERE uid = '{import}'`}
}

// checkedFile is one whose rows are still to be taken in.
func checkedFile() []string {
	return []string{`UPDATE import SET content = convert_to('name,zone' || chr(10) || 'Somebody New,Europe/Ljubljana' || chr(10), 'UTF8'), rows = 1, state = 'checked', finished_at = NULL WHERE uid = '{import}'`}
}

// twoSecrets are those of a device that is to have a new one.
// kitInStock is a kit that came back, in a state.
func kitInStock(state string) []string {
	return []string{`UPDATE kit SET state = '` + state + `' WHERE uid = '{kit}'`, `UPDATE kit_holder h SET to_at = now() FROM kit k WHERE k.id = h.kit_id AND k.uid = '{kit}'`}
}

// kitReady is a kit with three green ticks: who has its one sensor has measured with it.
func kitReady() []string {
	return []string{`UPDATE assignment a SET to_at = NULL FROM kit k JOIN kit_item i ON i.kit_id = k.id JOIN sensor s ON s.device_id = i.device_id WHERE k.uid = '{kit}' AND a.sensor_id = s.id`, `UPDATE kit SET cuff_at = now() WHERE uid = '{kit}'`, `UPDATE kit_holder h SET named_at = now() FROM kit k WHERE k.id = h.kit_id AND k.uid = '{kit}'`}
}

func deviceHeld() []string {
	return []string{`UPDATE assignment a SET to_at = NULL FROM sensor s WHERE s.id = a.sensor_id AND s.uid = '{device}'`}
}

func twoSecrets() []string {
	return []string{`UPDATE device SET next_secret_hash = sha256('next'), overlap_until = now() + interval '1 day' WHERE uid = '{device}'`}
}

func frozenView() []string {
	return []string{`UPDATE caregiver_grant SET suspended_at = now() WHERE uid = '{grant}'`}
}

func disabledStaff() []string {
	return []string{`UPDATE staff SET disabled_at = now() WHERE uid = '{member}'`}
}

func inNoTeam() []string {
	return []string{`UPDATE team_patient l SET to_at = now() FROM team t, patient p WHERE t.uid = '{team}' AND p.uid = '{patient}' AND (l.team_id, l.patient_id) = (t.id, p.id)`}
}

// offeredCode begins a second factor and returns the code that an authenticator shows for it.
func offeredCode(t *testing.T, w *town, p person, _ class) map[string]string {
	t.Helper()
	a, err := w.send(t.Context(), p, http.MethodPost, "/me/second-factor", "application/x-www-form-urlencoded", strings.NewReader("password="+url.QueryEscape(townPassword)), http.Header{})
	if err != nil {
		t.Error(err)
	}
	secret := regexp.MustCompile(`id="secret">([^<]+)<`).FindStringSubmatch(a.body)
	if secret == nil {
		return nil // of those who have none
	}
	code, err := totp.GenerateCode(secret[1], time.Now())
	if err != nil {
		t.Error(err)
	}
	return map[string]string{"totp": code}
}

// compared sets two records side by side and returns the value by which that was seen.
func compared(t *testing.T, w *town, p person, c class) map[string]string {
	t.Helper()
	things := w.things(p, c)
	body := fmt.Sprintf(`{"patient":%q,"into":%q,"dry_run":true}`, things["patient"], things["spare"])
	a, err := w.send(t.Context(), p, http.MethodPost, "/v1/merges", "application/json", strings.NewReader(body), http.Header{})
	if err != nil {
		t.Error(err)
	}
	confirm := regexp.MustCompile(`"confirm":"([^"]+)"`).FindStringSubmatch(a.body)
	if confirm == nil {
		return nil // of those who may not
	}
	return map[string]string{"confirm": confirm[1]}
}

// keptNothing is a retention table by which nothing is kept.
func keptNothing() string {
	var list []string
	for _, class := range safe.Classes() {
		list = append(list, fmt.Sprintf(`{"class":%q,"years":0,"from":"decision","linked":false,"ground":""}`, class))
	}
	return strings.Join(list, ",")
}

// things are what the words in braces stand for, by scene and class.
func (w *town) things(p person, c class) map[string]string {
	k, n := p.Scene, one(p.Scene, c)
	at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	return map[string]string{
		// of a patient
		"kit":     townUID("kit", n),
		"patient": townUID("patient", n), "alert": townUID("alert", n), "device": deviceName(n), "team": townUID("team", n),
		"spareteam": townUID("team", spare(k, c)), "member": townUID("staff", townNurse(k, c)), "joiner": townUID("staff", townNurse(k, (c+1)%2)),
		"sparedevice": deviceName(spare(k, c)), "owndevice": deviceName(one(k, own)), "refile": townUID("refile", n), "merge": townUID("merge", n),
		"session": townUID("session", n), "key": townUID("key", n), "glass": townUID("glass", n), "shift": townUID("shift", n), "caregiver": townUID("caregiver", n),
		"grant": townUID("grant", n), "consent": townUID("consent", n), "share": townUID("share", n), "correction": townUID("correction", n), "item": townUID("private", n),
		"identifier": townUID("identifier", n), "erasure": townUID("erasure", n), "request": townUID("request", n), "double": townUID("double", n), "import": townUID("import", n),
		// of the scene
		"login": person{k, nobody}.known().login(), "ours": townUID("patient", one(k, own)),
		"mine": townUID("session", p.number()), "code": townCode(k, own), "began": w.began.Format(time.RFC3339), "number": strconv.Itoa(n),
		"me": strconv.Itoa(p.number()), "newcode": w.codes[k%len(w.codes)], "opens": shareCode(n), "request_number": strconv.Itoa(requestNumber(c)),
		"receipt": w.receipt, "spare": townUID("patient", spare(k, c)), "began_local": w.began.Add(-time.Minute).In(w.home).Format("2006-01-02T15:04"), "now_local": time.Now().In(w.home).Format("2006-01-02T15:04"),
		"box": boxName(boxOf(k, c)), "red": townUID("red", n), "refused": townUID("refused", n),
		"ourbox": boxName(boxOf(k, own)), "ourred": townUID("red", one(k, own)), "claimedred": townUID("claimed", n), "claimedvalue": strconv.Itoa(boxOf(k, c) + townAside),
		"pause": townUID("pause", n), "doubt": townUID("doubt", n), "command": townUID("command", n), "webhook": townUID("webhook", n),
		"print": printOf(deviceName(n)), "authority": townUID("authority", n),
		"tomorrow": time.Now().Add(24 * time.Hour).Format(time.DateOnly),
		"twin":     townUID("patient", one(k, (c+1)%2)), "now": at(0), "soon": at(time.Hour), "later": at(90 * 24 * time.Hour),
	}
}

// aboutPatient are the words that make a request one about a patient.
func aboutPatient() []string {
	return []string{"patient", "alert", "device", "kit", "team", "spareteam", "member", "joiner", "session", "key", "glass", "box", "red", "claimedred", "refused", "shift", "caregiver", "grant", "consent", "refile", "merge",
		"share", "correction", "item", "pause", "doubt", "identifier", "erasure", "request", "double", "import", "webhook"}
}

// known is somebody of the scene who can sign in.
func (p person) known() person {
	if p.Role == nobody {
		p.Role = columns()[0]
	}
	return p
}

// byCollection says what a parameter of a path names: by what stands before it.
func byCollection() map[string]string {
	return map[string]string{
		"kits": "{kit}", "about": "{device}", "webhooks": "{webhook}",
		"patients": "{patient}", "alerts": "{alert}", "devices": "{device}", "limits": "heart_rate", "usual": "heart_rate", "teams": "{team}", "sessions": "{session}", "keys": "{key}",
		"break-glass": "{glass}", "shifts": "{shift}", "members": "{member}", "caregivers": "{caregiver}", "grants": "{grant}", "refiles": "{refile}", "merges": "{merge}",
		"safe": "{patient}", "shares": "{share}", "corrections": "{correction}", "private": "{item}", "identifiers": "{identifier}", "erasures": "{erasure}", "pauses": "{pause}", "doubts": "{doubt}", "requests": "{request}",
		"accounts": "{member}", "staff": "{member}", "doubles": "{double}", "imports": "{import}", "guardians": "{caregiver}", "access": "{glass}", "consents": "{patient}",
	}
}

// questions returns the requests of a registered route; more than one when it has further rows.
func questions(t *testing.T, method, pattern string) []question {
	t.Helper()
	name := method + " " + pattern
	var list []question
	for route, q := range special() {
		if plain, _, _ := strings.Cut(route, " ("); plain == name {
			q.route = route
			list = append(list, q)
		}
	}
	if _, some := special()[name]; !some {
		list = append(list, question{route: name})
	}
	for i := range list {
		list[i].method = method
		if list[i].path == "" {
			list[i].path = plainPath(t, pattern)
		}
	}
	return list
}

// plainPath puts words for the parameters of a pattern.
func plainPath(t *testing.T, pattern string) string {
	t.Helper()
	parts := strings.Split(pattern, "/")
	for i, part := range parts {
		if !strings.HasPrefix(part, ":") {
			continue
		}
		word, some := byCollection()[parts[i-1]]
		if !some {
			t.Errorf("%s: say in byCollection or special (matrix_requests_test.go) what stands for %s", pattern, part)
		}
		parts[i] = word
	}
	return strings.Join(parts, "/")
}

// concerns reports whether the request is about a patient or a thing of theirs.
func (q question) concerns() bool {
	for _, word := range aboutPatient() {
		if strings.Contains(q.path+q.json+q.form, "{"+word+"}") {
			return true
		}
	}
	return false
}

// listing reports whether the request is about no single patient, so that it matters whose data the answer holds.
func (q question) listing() bool {
	if strings.Contains(q.path+q.json+q.form, "{twin}") || strings.Contains(q.path, "before=") {
		return true // of two, or of others
	}
	for _, word := range []string{"patient", "alert", "device", "erasure", "refile", "merge", "correction", "double", "share", "request"} {
		if strings.Contains(q.path+q.json+q.form, "{"+word+"}") {
			return false
		}
	}
	return true
}

// changes reports whether the request may change something.
func (q question) changes() bool { return q.method != http.MethodGet || q.state != nil }

func fill(text string, things map[string]string) string {
	for word, thing := range things {
		text = strings.ReplaceAll(text, "{"+word+"}", thing)
	}
	return text
}

// ask sends the question about a class. A spoilt one is of a form that nothing can read.
func (w *town) ask(t *testing.T, q question, p person, c class, spoilt bool) reply {
	t.Helper()
	things := w.things(p, c)
	if q.learn != nil && !spoilt {
		maps.Copy(things, q.learn(t, w, p, c))
	}
	kind, body := "", ""
	switch {
	case q.file != "":
		kind, body = withFile(t, fill(q.form, things), q.file)
	case strings.HasPrefix(q.json, "name,"):
		kind, body = "text/csv", q.json
	case q.json != "":
		kind, body = "application/json", fill(q.json, things)
	case q.form != "":
		kind, body = "application/x-www-form-urlencoded", fill(q.form, things)
	}
	if spoilt {
		body = strings.NewReplacer("{", "[", "=", "").Replace(body)
	}
	header := http.Header{"Accept": {"text/html,application/json"}}
	if name, value, some := strings.Cut(q.header, ": "); some {
		header.Set(name, value)
	}
	a, err := w.send(t.Context(), p, q.method, fill(q.path, things), kind, strings.NewReader(body), header)
	if err != nil {
		t.Errorf("%s as %s: %v", q.route, p.Role, err)
	}
	return a
}

// withFile is a form with a file, as a browser sends it.
func withFile(t *testing.T, form, file string) (kind, body string) {
	t.Helper()
	var b strings.Builder
	m := multipart.NewWriter(&b)
	fields, err := url.ParseQuery(form)
	for name, values := range fields {
		err = errors.Join(err, m.WriteField(name, values[0]))
	}
	part, failed := m.CreateFormFile("file", "people.csv")
	if err = errors.Join(err, failed); err == nil {
		_, err = part.Write([]byte(file))
	}
	if err = errors.Join(err, m.Close()); err != nil {
		t.Error(err)
	}
	return m.FormDataContentType(), b.String()
}

// plain is an answer without what differs from one request to the next: two of them that are the same tell nobody whether
// the thing that was asked for exists.
func (a reply) plain(q question, things map[string]string) string {
	text := fmt.Sprintln(a.status) + a.body
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		if name != "Date" && name != "X-Request-Id" {
			text += name + ": " + strings.Join(a.header[name], ", ") + "\n"
		}
	}
	for word, thing := range things {
		if strings.Contains(q.path+q.json+q.form, "{"+word+"}") {
			text = strings.ReplaceAll(text, thing, "{"+word+"}")
		}
	}
	// What is not a patient's is there for all classes, and the answer before may have changed it.
	return regexp.MustCompile(`Content-Length: \d+|name="version" value="\d+"`).ReplaceAllString(text, "")
}
