package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// world is what the page shows of the surroundings, and how they are switched.
type world struct {
	Switches  switches       `json:"switches"`
	Instances []instanceView `json:"instances"`
	Lanes     []string       `json:"lanes"` // the port of each instance
	Redis     string         `json:"redis"`
	LeaseMS   int64          `json:"lease_ms"`
}

type instanceView struct {
	Client string `json:"client"`
	State  string `json:"state"`
}

// switches is what a person can set.
type switches struct {
	Browser   linkSwitches `json:"browser"` // client and API
	Redis     linkSwitches `json:"redis"`   // API and Redis
	Network   linkSwitches `json:"network"` // API and card network
	LatencyMS int64        `json:"latency_ms"`
	Declines  int          `json:"declines"` // percent
	// Arm is what happens to the instance of the next charge, once the card is
	// charged and before anybody knows: "kill", "pause", or nothing.
	Arm string `json:"arm"`
}

const maxLatency = 10 * time.Second

func (s switches) check() string {
	switch {
	case s.LatencyMS < 0 || s.LatencyMS > maxLatency.Milliseconds():
		return "latency_ms: want 0 to 10000"
	case s.Declines < 0 || s.Declines > 100:
		return "declines: want 0 to 100"
	case s.Arm != "" && s.Arm != "kill" && s.Arm != "pause":
		return `arm: want "", "kill" or "pause"`
	}
	return ""
}

// control is the switches of the page over HTTP.
func (d *demo) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /demo/switches", func(w http.ResponseWriter, r *http.Request) {
		var s switches
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&s); err != nil {
			problem{Status: http.StatusBadRequest, Title: "The switches can't be read", Detail: err.Error()}.write(w)
			return
		}
		if wrong := s.check(); wrong != "" {
			problem{Status: http.StatusBadRequest, Title: wrong}.write(w)
			return
		}
		d.flip(s)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /demo/instances/{slot}/{what}", func(w http.ResponseWriter, r *http.Request) {
		slot, err := strconv.Atoi(r.PathValue("slot"))
		if err != nil {
			slot = 0
		}
		switch r.PathValue("what") {
		case "kill":
			err = d.fleet.kill(slot)
		case "pause":
			_, err = d.fleet.pause(slot, pauseFor)
		default:
			http.NotFound(w, r)
			return
		}
		if err != nil {
			problem{Status: http.StatusConflict, Title: err.Error()}.write(w)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /demo/reset", func(w http.ResponseWriter, r *http.Request) {
		d.board.reset()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /demo/state", func(w http.ResponseWriter, r *http.Request) {
		change, _ := d.board.since(0)
		writeJSON(w, http.StatusOK, change)
	})
	return mux
}

// flip sets the switches.
func (d *demo) flip(s switches) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.switches = s
	d.browserLink.set(s.Browser)
	d.redisLink.set(s.Redis)
	d.network.link.set(s.Network)
	d.network.latency.Store(int64(time.Duration(s.LatencyMS) * time.Millisecond))
	d.ledger.setDeclines(s.Declines)
	d.showLocked()
}

// booked does to an instance what the switches say: its card is charged.
func (d *demo) booked(slot int) {
	d.mu.Lock()
	arm := d.switches.Arm
	if arm != "" {
		d.switches.Arm = ""
		d.showLocked()
	}
	d.mu.Unlock()
	switch arm {
	case "kill":
		_ = d.fleet.kill(slot)
	case "pause":
		// A signal takes a moment: an answer that came meanwhile would still be read.
		if over, err := d.fleet.pause(slot, pauseFor); err == nil {
			<-over
		}
	}
}

// show puts the world on the board.
func (d *demo) show() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.showLocked()
}

func (d *demo) showLocked() {
	w := world{Switches: d.switches, Lanes: d.lanes, Redis: d.redisIs, LeaseMS: lease.Milliseconds()}
	for i, s := range d.fleet.states() {
		w.Instances = append(w.Instances, instanceView{Client: clients[i], State: s.state})
	}
	d.board.show(w)
}
