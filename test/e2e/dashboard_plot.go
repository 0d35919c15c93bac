package main

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	imagedraw "image/draw"
	"image/png"
	"math"
	"os"
	"slices"
	"strconv"
	"time"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// The picture of a dashboard, whose panels stand where its own grid has them.
const (
	pictureColumns = 24 // as many as Grafana has
	pictureWidth   = 12 * vg.Inch
	pictureRow     = 0.3 * vg.Inch
	pictureLine    = 0.2 * vg.Inch
	pictureMargin  = 0.08 * vg.Inch
	pictureDPI     = 125
)

// palette begins with colours that nearly everybody can tell apart: https://jfly.uni-koeln.de/color/
var palette = []color.Color{
	color.RGBA{0, 114, 178, 255}, color.RGBA{230, 159, 0, 255}, color.RGBA{0, 158, 115, 255}, color.RGBA{213, 94, 0, 255},
	color.RGBA{204, 121, 167, 255}, color.RGBA{86, 180, 233, 255}, color.RGBA{120, 94, 40, 255}, color.RGBA{60, 60, 60, 255},
}

var (
	faint  = color.Gray{Y: 235}
	middle = color.Gray{Y: 120}
)

// picture draws the panels of a run.
type picture struct {
	canvas     draw.Canvas
	events     []happened
	begin, end time.Time
}

// drawDashboard writes a PNG file: all panels, and below them what happened.
func drawDashboard(file string, panels []shown, events []happened, begin, end time.Time) error {
	rows := 0
	for _, p := range panels {
		rows = max(rows, p.GridPos.Y+p.GridPos.H)
	}
	footer := vg.Length((len(events)+2)/3+2) * pictureLine
	canvas := vgimg.NewWith(vgimg.UseWH(pictureWidth, vg.Length(rows)*pictureRow+footer), vgimg.UseDPI(pictureDPI))
	d := &picture{canvas: draw.New(canvas), events: events, begin: begin, end: end}
	top := d.canvas.Max.Y
	for i := range panels {
		p := &panels[i]
		x := func(column int) vg.Length { return pictureWidth * vg.Length(column) / pictureColumns }
		y := func(row int) vg.Length { return top - vg.Length(row)*pictureRow }
		c := draw.Canvas{Canvas: d.canvas.Canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: x(p.GridPos.X) + pictureMargin, Y: y(p.GridPos.Y+p.GridPos.H) + pictureMargin},
			Max: vg.Point{X: x(p.GridPos.X+p.GridPos.W) - pictureMargin, Y: y(p.GridPos.Y)},
		}}
		if p.Type == "row" {
			c.FillText(style(11, true), vg.Point{X: c.Min.X, Y: c.Min.Y}, p.Title)
			continue
		}
		if err := d.panel(c, p); err != nil {
			return fmt.Errorf("panel %q: %w", p.Title, err)
		}
	}
	d.legend(footer)
	return writePNG(file, canvas.Image())
}

// writePNG writes a picture with as few colours as it needs, for it is kept with the sources.
func writePNG(file string, full image.Image) error {
	small := image.NewPaletted(full.Bounds(), shades())
	imagedraw.Draw(small, small.Bounds(), full, image.Point{}, imagedraw.Src)
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	return errors.Join(encoder.Encode(out, small), out.Close())
}

// shades are all colours that are used, from full to white: edges of lines and letters are of a shade.
func shades() color.Palette {
	const steps = 16
	shaded := append(slices.Clone(palette), color.Black, middle)
	out := make(color.Palette, 0, steps*len(shaded))
	for _, c := range shaded {
		r, g, b, _ := c.RGBA()
		for i := range uint32(steps) {
			mix := func(v uint32) uint8 { return uint8((v*(steps-1-i) + 0xffff*i) / (steps - 1) >> 8) } //nolint:gosec // it fits
			out = append(out, color.RGBA{mix(r), mix(g), mix(b), 0xff})
		}
	}
	return out
}

// style is a font of a size in points.
func style(size vg.Length, bold bool) text.Style {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	if bold {
		f.Weight = xfont.WeightBold
	}
	return text.Style{Color: color.Black, Font: f, Handler: plot.DefaultTextHandler}
}

// panel draws one, with the names of its curves below.
func (d *picture) panel(c draw.Canvas, p *shown) error {
	plt := plot.New()
	plt.Title.Text = p.Title
	plt.Title.TextStyle = style(9, true)
	plt.Title.TextStyle.XAlign, plt.Title.TextStyle.YAlign = text.XCenter, text.YTop
	plt.Title.Padding = 12 // for the numbers of events
	for _, axis := range []*plot.Axis{&plt.X, &plt.Y} {
		axis.Tick.Label.Font = style(7.5, false).Font
		axis.Color, axis.Tick.Color = middle, middle
	}
	plt.X.Tick.Marker = plot.TickerFunc(clockTicks)
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Transparent, faint
	plt.Add(grid)
	plt.Add(d)
	names := newNames(c)
	highest := 0.0
	for i := range p.curves {
		curve := &p.curves[i]
		line := draw.LineStyle{Color: palette[i%len(palette)], Width: 1.3}
		if i >= len(palette) {
			line.Dashes = []vg.Length{4, 2}
		}
		for _, piece := range d.pieces(curve) {
			l, err := plotter.NewLine(piece)
			if err != nil {
				return err
			}
			l.LineStyle = line
			plt.Add(l)
			for _, point := range piece {
				highest = math.Max(highest, point.Y)
			}
		}
		names.add(curve.name, line)
	}
	plt.X.Min, plt.X.Max = 0, d.end.Sub(d.begin).Seconds()
	plt.Y.Min, plt.Y.Max = 0, highest*1.08
	if highest == 0 {
		plt.Y.Max = 1
	}
	plt.Y.Tick.Marker = plot.TickerFunc(scaleOf(p.FieldConfig.Defaults.Unit, highest).ticks)
	below := names.draw()
	plt.Draw(draw.Crop(c, 0, 0, below, 0))
	return nil
}

// pieces are the parts of a curve without gaps, in seconds since the begin.
func (d *picture) pieces(c *namedCurve) []plotter.XYs {
	var out []plotter.XYs
	last := math.Inf(-1)
	for _, v := range c.Values {
		y := v.value()
		if math.IsNaN(y) || math.IsInf(y, 0) {
			continue
		}
		x := v.time() - float64(d.begin.UnixNano())/1e9
		if x-last > 1.5 {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], plotter.XY{X: x, Y: y})
		last = x
	}
	return out
}

// Plot implements plot.Plotter: it draws the events, with their numbers.
func (d *picture) Plot(c draw.Canvas, plt *plot.Plot) {
	toX, _ := plt.Transforms(&c)
	number := style(7, false)
	number.XAlign, number.Color = text.XCenter, middle
	for i, e := range d.events {
		x := toX(e.at.Sub(d.begin).Seconds())
		c.StrokeLine2(draw.LineStyle{Color: color.Gray{Y: 205}, Width: 0.6, Dashes: []vg.Length{2, 2}}, x, c.Min.Y, x, c.Max.Y)
		c.FillText(number, vg.Point{X: x, Y: c.Max.Y + 2}, strconv.Itoa(i+1))
	}
}

// legend tells what the numbers are, in three columns.
func (d *picture) legend(height vg.Length) {
	const columns = 3
	lines := (len(d.events) + columns - 1) / columns
	write := func(column, line int, bold bool, what string) {
		d.canvas.FillText(style(9, bold), vg.Point{
			X: pictureWidth*vg.Length(column)/columns + pictureMargin,
			Y: d.canvas.Min.Y + height - pictureLine*vg.Length(line+1),
		}, what)
	}
	write(0, 0, true, "What happened (time is in minutes and seconds)")
	for i, e := range d.events {
		write(i/lines, i%lines+1, false, fmt.Sprintf("%d  %s", i+1, e.what))
	}
}

// names are those of the curves, in as many lines as they need.
type names struct {
	canvas draw.Canvas
	style  text.Style
	x      vg.Length
	placed []placedName
	lines  int
}

type placedName struct {
	text string
	line draw.LineStyle
	x    vg.Length
	row  int
}

const (
	nameHeight = 10.5
	nameSwatch = 12
	nameGap    = 10
)

func newNames(c draw.Canvas) *names {
	return &names{canvas: c, style: style(7.5, false), lines: 1}
}

func (n *names) add(name string, line draw.LineStyle) {
	width := nameSwatch + 3 + n.style.Width(name) + nameGap
	if n.x > 0 && n.x+width > n.canvas.Max.X-n.canvas.Min.X {
		n.x = 0
		n.lines++
	}
	n.placed = append(n.placed, placedName{name, line, n.x, n.lines - 1})
	n.x += width
}

// draw gives the height that the names take.
func (n *names) draw() vg.Length {
	height := vg.Length(n.lines)*nameHeight + 3
	for _, p := range n.placed {
		x, y := n.canvas.Min.X+p.x, n.canvas.Min.Y+height-nameHeight*vg.Length(p.row+1)
		n.canvas.StrokeLine2(p.line, x, y+2.5, x+nameSwatch, y+2.5)
		n.canvas.FillText(n.style, vg.Point{X: x + nameSwatch + 3, Y: y}, p.text)
	}
	return height
}

// clockTicks are minutes and seconds since the begin.
func clockTicks(lo, hi float64) []plot.Tick {
	const every = 30
	var out []plot.Tick
	for at := math.Ceil(lo/every) * every; at <= hi; at += every {
		out = append(out, plot.Tick{Value: at, Label: fmt.Sprintf("%d:%02d", int(at)/60, int(at)%60)})
	}
	return out
}

// scale is how a value is written.
type scale struct {
	divisor float64
	suffix  string
}

// scaleOf is for values up to a highest in one of Grafana's units, as far as the dashboard uses them.
func scaleOf(unit string, highest float64) scale {
	switch {
	case unit == "reqps":
		return scale{1, " /s"}
	case unit == "cpm":
		return scale{1, " /min"}
	case unit == "bytes":
		return scale{1 << 20, " MiB"}
	case unit == "s" && highest < 1e-3:
		return scale{1e-6, " µs"}
	case unit == "s" && highest < 1:
		return scale{1e-3, " ms"}
	case unit == "s":
		return scale{1, " s"}
	}
	return scale{1, ""}
}

// ticks are where round numbers stand in a scale.
func (s scale) ticks(lo, hi float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(lo/s.divisor, hi/s.divisor)
	for i := range ticks {
		t := &ticks[i]
		if t.Label != "" {
			t.Label += s.suffix
		}
		t.Value *= s.divisor
	}
	return ticks
}
