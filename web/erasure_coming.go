package web

import (
	"context"

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
