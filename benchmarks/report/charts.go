package main

import (
	"image/color"
	"path/filepath"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// chart is a file beside the tables.
type chart struct{ title, file string }

// The colours stand out from white and from black alike, and from each other for
// people who tell red from green badly.
var (
	ink    = color.NRGBA{0x73, 0x7d, 0x88, 0xff}
	faint  = color.NRGBA{0x73, 0x7d, 0x88, 0x50}
	colors = []color.Color{
		color.NRGBA{0x3b, 0x82, 0xd6, 0xff}, color.NRGBA{0xd9, 0x82, 0x2b, 0xff},
		color.NRGBA{0x2f, 0xa3, 0x7c, 0xff}, color.NRGBA{0x9b, 0x6d, 0xd0, 0xff},
	}
)

// drawCharts draws what there are results for.
func drawCharts(out string, r *results) (drawn []chart, err error) {
	for _, c := range []struct {
		chart
		plot func(*results) (*plot.Plot, vg.Length)
	}{
		{chart{"Throughput as a share of the raw client's", "calls.svg"}, callChart},
		{chart{"A fresh call, beside other ways to do it", "rivals.svg"}, rivalChart},
		{chart{"The last of many callers", "waiters.svg"}, waiterChart},
		{chart{"The size of the answer", "payload.svg"}, payloadChart},
	} {
		p, height := c.plot(r)
		if p == nil {
			continue
		}
		p.Title.Text = c.title
		style(p)
		if err := save(p, filepath.Join(out, c.file), 18*vg.Centimeter, height); err != nil {
			return nil, err
		}
		drawn = append(drawn, c.chart)
	}
	return drawn, nil
}

// style makes a plot readable on any background: it has none of its own.
func style(p *plot.Plot) {
	p.BackgroundColor = color.Transparent
	p.Title.TextStyle.Color = ink
	p.Title.Padding = vg.Points(8)
	p.Legend.TextStyle.Color = ink
	p.Legend.Padding = vg.Points(3)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Color, axis.Label.TextStyle.Color, axis.Tick.Color, axis.Tick.Label.Color = ink, ink, ink, ink
	}
	setFont(&p.Title.TextStyle.Font, 13)
	for _, f := range []*font.Font{&p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font,
		&p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font} {
		setFont(f, 10)
	}
}

func setFont(f *font.Font, size float64) {
	f.Typeface, f.Variant, f.Size = "Liberation", "Sans", font.Points(size)
}

// lines are the horizontal ones behind the data.
func lines() *plotter.Grid {
	g := plotter.NewGrid()
	g.Vertical.Width = 0
	g.Vertical.Color = nil
	g.Horizontal.Color = faint
	return g
}

// callChart has a group of bars for each client and kind of call, one bar for
// each concurrency.
func callChart(r *results) (*plot.Plot, vg.Length) {
	type group struct{ label, client, what string }
	var groups []group
	for _, g := range []group{
		{"go-redis\nfresh", "goredis", "fresh"}, {"rueidis\nfresh", "rueidis", "fresh"}, {"redigo\nfresh", "redigo", "fresh"},
		{"go-redis\nreplay", "goredis", "replay"}, {"rueidis\nreplay", "rueidis-nocache", "replay"}, {"redigo\nreplay", "redigo", "replay"},
	} {
		if r.cells("x-floor", callNames(g.client, g.what, "128B")...) != "" {
			groups = append(groups, g)
		}
	}
	if len(groups) == 0 {
		return nil, 0
	}
	p := plot.New()
	p.Y.Label.Text = "share of two SETs, or of one GET"
	p.Y.Min = 0
	p.Legend.Top = true
	p.Add(lines())
	width := vg.Points(16)
	for i, c := range []string{"1 goroutine", "16", "128"} {
		values := make(plotter.Values, len(groups))
		for j, g := range groups {
			values[j], _ = r.get(callNames(g.client, g.what, "128B")[i], "x-floor")
		}
		bars, err := plotter.NewBarChart(values, width)
		if err != nil {
			return nil, 0
		}
		bars.Color, bars.LineStyle.Width = colors[i], 0
		bars.Offset = vg.Length(i-1) * (width + vg.Points(2))
		p.Add(bars)
		p.Legend.Add(c+"  ", bars)
	}
	labels := make([]string, len(groups))
	for i, g := range groups {
		labels[i] = g.label
	}
	p.NominalX(labels...)
	p.X.Tick.Width = 0
	p.Y.Max = max(p.Y.Max*1.25, 1.2) // room for the legend
	p.Add(level(1, len(groups)))
	return p, 9 * vg.Centimeter
}

// level is a dashed line at a value.
func level(at float64, groups int) *plotter.Line {
	line, err := plotter.NewLine(plotter.XYs{{X: -0.5, Y: at}, {X: float64(groups) - 0.5, Y: at}})
	if err != nil {
		panic(err) // two finite points
	}
	line.Color, line.Dashes = ink, []vg.Length{vg.Points(4), vg.Points(3)}
	return line
}

// rivalChart has a bar for each way to make a fresh call, of one goroutine.
func rivalChart(r *results) (*plot.Plot, vg.Length) {
	var names []string
	var ours, theirs plotter.Values
	add := func(label, benchmark string, mine bool) {
		v, found := r.get(benchmark, "x-floor")
		if !found {
			return
		}
		names = append(names, label)
		if mine {
			ours, theirs = append(ours, v), append(theirs, 0)
		} else {
			ours, theirs = append(ours, 0), append(theirs, v)
		}
	}
	rivals := r.rivals("fresh")
	if len(rivals) == 0 {
		return nil, 0
	}
	for i := len(rivals) - 1; i >= 0; i-- { // the first one on top
		add(rivals[i], "Rival/"+rivals[i]+"/fresh/c=1", strings.HasPrefix(rivals[i], "reprise"))
	}
	if !strings.Contains(strings.Join(names, " "), "reprise") {
		for _, client := range []string{"redigo", "rueidis", "goredis"} {
			add("reprise on "+client, "Call/"+client+"/fresh/128B/c=1", true)
		}
	}
	if len(names) == 0 {
		return nil, 0
	}
	p := plot.New()
	p.X.Label.Text = "share of two SETs by the same client; one goroutine, one CPU"
	p.X.Min = 0
	for i, values := range []plotter.Values{theirs, ours} {
		bars, err := plotter.NewBarChart(values, vg.Points(12))
		if err != nil {
			return nil, 0
		}
		bars.Horizontal, bars.LineStyle.Width, bars.Color = true, 0, []color.Color{ink, colors[0]}[i]
		p.Add(bars)
	}
	p.X.Max = max(p.X.Max, 1)
	for i := range names {
		names[i] += "   " // room where the font is wider than the one that is measured
	}
	p.NominalY(names...)
	p.Y.Tick.Width = 0
	return p, vg.Length(len(names))*0.8*vg.Centimeter + 3*vg.Centimeter
}

// waiterChart shows the time until the last of n callers is served.
func waiterChart(r *results) (*plot.Plot, vg.Length) {
	return lineChart(r, []series{{"go-redis", "Scale/waiters/goredis/n="}, {"rueidis", "Scale/waiters/rueidis/n="}, {"redigo", "Scale/waiters/redigo/n="}},
		"last-ms", "callers of one key in another process", "ms after the action's end", true)
}

// payloadChart shows the ratio to the floor by size.
func payloadChart(r *results) (*plot.Plot, vg.Length) {
	return lineChart(r, []series{{"go-redis", "Scale/payload/goredis/fresh/size="}, {"rueidis", "Scale/payload/rueidis/fresh/size="}, {"redigo", "Scale/payload/redigo/fresh/size="}},
		"x-floor", "size of the answer", "fresh call, share of two SETs", false)
}

type series struct{ label, prefix string }

// lineChart has a line for each series, over the number at the end of the names,
// which is on a logarithmic axis.
func lineChart(r *results, all []series, unit, x, y string, logarithmic bool) (*plot.Plot, vg.Length) {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = x, y
	p.X.Scale = plot.LogScale{}
	if logarithmic {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, decades{}
	} else {
		p.Y.Min = 0
	}
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(lines())
	found := false
	ticks := map[float64]string{} // where something was measured
	for i, s := range all {
		var points plotter.XYs
		for _, name := range r.below(s.prefix) {
			at, ok := parseSize(strings.TrimPrefix(name, s.prefix))
			value, measured := r.get(name, unit)
			if ok && measured && at > 0 && (value > 0 || !logarithmic) {
				points = append(points, plotter.XY{X: at, Y: value})
				ticks[at] = thousandsIn(strings.TrimPrefix(name, s.prefix))
			}
		}
		if len(points) < 2 {
			continue
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			continue
		}
		line.Color, line.Width = colors[i], vg.Points(2)
		dots.Color, dots.Shape, dots.Radius = colors[i], draw.CircleGlyph{}, vg.Points(3)
		p.Add(line, dots)
		p.Legend.Add(s.label, line, dots)
		found = true
	}
	if !found {
		return nil, 0
	}
	var marks plot.ConstantTicks
	for at, label := range ticks {
		marks = append(marks, plot.Tick{Value: at, Label: label})
	}
	p.X.Tick.Marker = marks
	if logarithmic {
		p.Y.Max *= 3
	} else {
		p.Y.Max = max(1.05, p.Y.Max*1.25)
	}
	return p, 9 * vg.Centimeter
}

// thousandsIn separates the thousands of a number, and a unit from its number.
func thousandsIn(text string) string {
	if n, err := strconv.Atoi(text); err == nil && n >= 1000 {
		return strconv.Itoa(n/1000) + "," + text[len(text)-3:]
	}
	for _, unit := range []string{"MiB", "KiB", "B"} {
		if head, found := strings.CutSuffix(text, unit); found {
			return head + " " + unit
		}
	}
	return text
}

// parseSize reads "10000", "128B", "16KiB", "1MiB".
func parseSize(text string) (float64, bool) {
	factor := 1.0
	for unit, f := range map[string]float64{"MiB": 1 << 20, "KiB": 1 << 10} {
		if head, found := strings.CutSuffix(text, unit); found {
			text, factor = head, f
		}
	}
	n, err := strconv.ParseFloat(strings.TrimSuffix(text, "B"), 64)
	return n * factor, err == nil
}
