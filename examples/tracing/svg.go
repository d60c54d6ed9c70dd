package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// The picture has a panel for each part of the story that has one, with a time
// axis of its own: bars for the spans, a block of rows per process, arrows for
// links.
const (
	pictureWidth = 960
	nameX        = 28  // names of spans, indented by their depth
	outcomeX     = 262 // how a call got its answer
	tookX        = 386 // durations end here
	axisX        = 402 // time 0
	axisEnd      = 872 // the end of the panel's last span; arrows bend to the right of it
	rowHeight    = 19
	traceGap     = 5 // between the traces of a process
	barHeight    = 11
	leastBar     = 3 // a bar that is shorter couldn't be seen
)

// Two palettes: a page shows the picture by way of an img element, which has the
// reader's colour scheme, but not the page's text colour.
const pictureStyle = `
.page{fill:#fff;stroke:#d0d7de}.block{fill:#f6f8fa}.grid{stroke:#d8dee4}
text{font:12px ui-sans-serif,system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1f2328}
.title{font-size:14px;font-weight:600}.process{font-weight:600}.muted{fill:#59636e}.small{font-size:11px}.end{text-anchor:end}.middle{text-anchor:middle}
.call{fill:#6366f1}.claim{fill:#0ea5e9}.wait{fill:#f59e0b}.action{fill:#22a355}.reconcile{fill:#a855f7}.commit{fill:#64748b}.other{fill:#a3b1c2}
.link{fill:none;stroke:#db2777;stroke-width:1.5}.head{fill:#db2777}.killed{stroke:#cf222e;stroke-width:2}.dead{fill:#cf222e}
@media (prefers-color-scheme:dark){
.page{fill:#0d1117;stroke:#30363d}.block{fill:#161b22}.grid{stroke:#2b323b}
text{fill:#e6edf3}.muted{fill:#9198a1}.commit{fill:#8594a8}.other{fill:#5d6b7c}
.link{stroke:#f472b6}.head{fill:#f472b6}.killed{stroke:#ff7b72}.dead{fill:#ff7b72}}
`

// kinds are the colours of spans, as the legend shows them.
var kinds = []struct{ class, prefix, legend string }{
	{"call", "idempotency.run", "call"},
	{"claim", "idempotency.claim", "claim"},
	{"wait", "idempotency.wait", "wait"},
	{"action", "idempotency.action", "action"},
	{"reconcile", "idempotency.reconcile", "reconcile"},
	{"commit", "idempotency.commit", "commit"},
	{"other", "", "the application's own"},
}

func classOf(s *span) string {
	for _, k := range kinds {
		if strings.HasPrefix(s.Name, k.prefix) {
			return k.class
		}
	}
	return ""
}

// drawSVG draws the traces of the panels.
func drawSVG(traces []*requestTrace) []byte {
	var panels []string
	for _, t := range traces {
		if t.panel != "" && t.root != nil && !slices.Contains(panels, t.panel) {
			panels = append(panels, t.panel)
		}
	}
	var body bytes.Buffer
	y := 14
	for _, name := range panels {
		var shown []*requestTrace
		for _, t := range traces {
			if t.panel == name && t.root != nil {
				shown = append(shown, t)
			}
		}
		y = drawPanel(&body, name, shown, y)
	}
	y = drawLegend(&body, y)

	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-labelledby="t d">`+"\n",
		pictureWidth, y, pictureWidth, y)
	fmt.Fprint(&out, "<title id=\"t\">Traces of retried payments</title>\n<desc id=\"d\">")
	for _, name := range panels {
		fmt.Fprintf(&out, "%s. ", escape(name))
	}
	fmt.Fprintf(&out, "Arrows are span links: from each call whose action did not run to the call that ran, and from a takeover to the call that died.</desc>\n<style>%s</style>\n", escape(pictureStyle))
	fmt.Fprint(&out, `<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path class="head" d="M0 0L8 4L0 8z"/></marker></defs>`+"\n")
	fmt.Fprintf(&out, `<rect class="page" x="0.5" y="0.5" width="%d" height="%d" rx="8"/>`+"\n", pictureWidth-1, y-1)
	_, _ = body.WriteTo(&out)
	fmt.Fprint(&out, "</svg>\n")
	return out.Bytes()
}

// bar is where a span was drawn.
type bar struct {
	left, right, y float64 // y is the middle
}

// panel is a time axis and what was drawn on it.
type panel struct {
	w    io.Writer
	from int64
	span float64 // nanoseconds
	bars map[string]bar
}

func (p *panel) x(at int64) float64 {
	return axisX + float64(at-p.from)/p.span*(axisEnd-axisX)
}

func drawPanel(w io.Writer, name string, traces []*requestTrace, y int) (below int) {
	p := &panel{w: w, bars: map[string]bar{}, from: math.MaxInt64}
	to := int64(0)
	rows := map[*requestTrace][]shownSpan{}
	var processes []string
	for _, t := range traces {
		rows[t] = t.shown()
		for _, s := range rows[t] {
			p.from, to = min(p.from, s.StartTime), max(to, s.EndTime)
		}
		if !slices.Contains(processes, t.root.process) {
			processes = append(processes, t.root.process)
		}
	}
	p.span = float64(max(to-p.from, 1))

	text(w, 16, y+12, "title", name)
	y += 26
	top := y
	// The blocks first, then the grid, then what is on them.
	for _, process := range processes {
		height := 6 - traceGap
		for _, t := range traces {
			if t.root.process == process {
				height += rowHeight*(1+len(rows[t])) + traceGap
			}
		}
		fmt.Fprintf(w, `<rect class="block" x="12" y="%d" width="%d" height="%d" rx="4"/>`+"\n", y, pictureWidth-24, height)
		y += height + 6
	}
	p.drawAxis(top, y)
	y = top
	for _, process := range processes {
		y += 3
		for _, t := range traces {
			if t.root.process != process {
				continue
			}
			fmt.Fprintf(w, `<text x="20" y="%d"><tspan class="process">%s</tspan><tspan class="muted" dx="8">%s</tspan></text>`+"\n",
				y+14, escape(process), escape(t.title))
			y += rowHeight
			for _, s := range rows[t] {
				p.drawSpan(s, y)
				y += rowHeight
			}
			y += traceGap
		}
		y += 9 - traceGap
	}
	for _, t := range traces {
		for _, s := range rows[t] {
			p.drawLinks(s.span)
		}
	}
	return y + 30
}

// shownSpan is a span that has a row.
type shownSpan struct {
	*span
	depth int
}

// shown leaves out the request's own span and the verbs of the store: they are as
// long as the spans below or above them.
func (t *requestTrace) shown() (out []shownSpan) {
	t.walk(func(s *span, depth int) {
		if s != t.root && !strings.HasPrefix(s.Name, "idempotency.store.") {
			out = append(out, shownSpan{s, depth - 1})
		}
	})
	return out
}

func (p *panel) drawSpan(s shownSpan, y int) {
	b := bar{left: p.x(s.StartTime), right: p.x(s.EndTime), y: float64(y) + rowHeight/2.}
	b.right = max(b.right, b.left+leastBar)
	p.bars[s.SpanID] = b
	text(p.w, nameX+14*s.depth, y+14, "", s.Name)
	if outcome := s.attribute("idempotency.outcome"); outcome != "" {
		text(p.w, outcomeX, y+14, "process", outcome)
	}
	if s.ended {
		text(p.w, tookX, y+14, "muted end", formatDuration(s.duration()))
	} else {
		text(p.w, tookX, y+14, "dead end", "killed")
	}
	fmt.Fprintf(p.w, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%d" rx="1.5"/>`+"\n",
		classOf(s.span), b.left, b.y-barHeight/2., b.right-b.left, barHeight)
	if !s.ended {
		fmt.Fprintf(p.w, `<path class="killed" d="M%.1f %.1fl7 7m0 -7l-7 7"/>`+"\n", b.right+3, b.y-3.5)
	}
}

// drawLinks draws an arrow for each link, from the end of its span to the end of
// the one that it leads to.
func (p *panel) drawLinks(s *span) {
	from := p.bars[s.SpanID]
	for _, l := range s.Links {
		to, ok := p.bars[l.SpanID]
		if !ok {
			continue
		}
		var path string
		if right := max(from.right, to.right); right-min(from.right, to.right) < 150 {
			bend := right + 14 + min(math.Abs(from.y-to.y)*.17, axisEnd+80-right)
			path = fmt.Sprintf("M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f", from.right+1, from.y, bend, from.y, bend, to.y, to.right+2, to.y)
		} else {
			far := to.right + 14 // beside the mark of a killed one
			path = fmt.Sprintf("M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f", from.left-1, from.y, from.left-160, from.y, far+200, to.y, far, to.y)
		}
		fmt.Fprintf(p.w, `<path class="link" marker-end="url(#arrow)" d="%s"/>`+"\n", path)
	}
}

// drawAxis draws at most eight lines with their times.
func (p *panel) drawAxis(top, bottom int) {
	step, factors := 1., []float64{2, 2.5, 2} // 1, 2, 5, 10...
	for i := 0; p.span/step > 8; i++ {
		step *= factors[i%len(factors)]
	}
	for at := 0.; at <= p.span; at += step {
		x := p.x(p.from + int64(at))
		fmt.Fprintf(p.w, `<path class="grid" d="M%.1f %dV%d"/>`+"\n", x, top, bottom-3)
		text(p.w, int(x), bottom+9, "muted small middle", formatTick(time.Duration(at)))
	}
}

func formatTick(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d >= time.Second:
		return fmt.Sprintf("%g s", d.Seconds())
	}
	return fmt.Sprintf("%g ms", float64(d)/float64(time.Millisecond))
}

func drawLegend(w io.Writer, y int) (below int) {
	x := 20
	for _, k := range kinds {
		fmt.Fprintf(w, `<rect class="%s" x="%d" y="%d" width="14" height="%d" rx="1.5"/>`+"\n", k.class, x, y, barHeight)
		text(w, x+20, y+10, "muted", k.legend)
		x += 20 + 7*len(k.legend) + 18
	}
	fmt.Fprintf(w, `<path class="link" marker-end="url(#arrow)" d="M%d %dh28"/>`+"\n", x, y+6)
	text(w, x+36, y+10, "muted", "span link to the call that ran")
	return y + 28
}

func text(w io.Writer, x, y int, class, s string) {
	if class != "" {
		class = ` class="` + class + `"`
	}
	fmt.Fprintf(w, `<text%s x="%d" y="%d">%s</text>`+"\n", class, x, y, escape(s))
}

func escape(s string) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, []byte(s))
	return strings.ReplaceAll(out.String(), "&#xA;", "\n")
}
