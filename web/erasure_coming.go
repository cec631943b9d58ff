package web

import (
	"context"
	"fmt"

	"hale/account"
	"hale/vital"
)

// comingErasures are the requests for erasure of a patient that can still be taken back, as their reader may see them: whoever
// opens their data is told, also when somebody else has asked.
func (w *Web) comingErasures(ctx context.Context, actor account.Actor, patient vital.UID) ([]erasureView, error) {
	list, err := w.Erasures.Of(ctx, actor, patient)
	if err != nil {
		return nil, err
	}
	var views []erasureView
	for i := range list {
		if list[i].Withdrawable() {
			views = append(views, w.viewErasure(&list[i], actor, nil, false))
		}
	}
	return views, nil
}

// farewellWords tell a patient whose record was erased why they are not signed in any more; empty for everybody else.
func (w *Web) farewellWords(f account.Farewell) string {
	if f.At.IsZero() {
		return ""
	}
	whose := map[account.Role]string{account.SelfRole: ", on your request", account.CaregiverRole: ", on the request of your guardian"}[f.Asked]
	return fmt.Sprintf("Your record was erased on %s%s (number %d). Nobody watches over you any more.", f.At.In(w.Zone).Format("2 January 2006"), whose, f.Number)
}
