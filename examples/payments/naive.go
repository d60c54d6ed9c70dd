package main

import "net/http"

// createNaively is createCharge as it is often written: read the request, charge
// the card, answer. Every line of it is right, and it charges cards twice.
func (a *api) createNaively(w http.ResponseWriter, r *http.Request) {
	key, _, request, err := readCharge(w, r)
	if err != nil {
		reply(w, Charge{}, err)
		return
	}
	charge, err := a.network.charge(r.Context(), key, request)
	if r.Context().Err() != nil {
		return
	}
	reply(w, charge, err)
}
