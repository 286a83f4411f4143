//! What happened, drawn: connections held, and requests that are done.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;

use crate::outcome::{Outcome, Sample};

pub(crate) fn draw(path: &Path, outcomes: &[Outcome]) -> Result<()> {
    let area = SVGBackend::new(path, (900, 700)).into_drawing_area();
    area.fill(&WHITE)?;
    let (upper, lower) = area.split_vertically(350);
    chart(&upper, "connections held", outcomes, |sample| sample.held)?;
    chart(&lower, "requests done", outcomes, |sample| sample.finished)?;
    area.present()?;
    Ok(())
}

fn chart(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    caption: &str,
    outcomes: &[Outcome],
    value: impl Fn(&Sample) -> usize,
) -> Result<()> {
    let samples = || outcomes.iter().flat_map(|outcome| &outcome.samples);
    let end = samples()
        .map(|sample| sample.at.as_secs_f64())
        .fold(1.0, f64::max);
    let top = samples().map(&value).max().unwrap_or(1) * 11 / 10 + 1;
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..end, 0..top)?;
    chart
        .configure_mesh()
        .x_desc("seconds")
        .disable_x_mesh()
        .draw()?;
    for (number, outcome) in outcomes.iter().enumerate() {
        let color = Palette99::pick(number).to_rgba();
        let points = outcome
            .samples
            .iter()
            .map(|sample| (sample.at.as_secs_f64(), value(sample)));
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(outcome.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color));
    }
    chart
        .configure_series_labels()
        .border_style(BLACK)
        .background_style(WHITE)
        .draw()?;
    Ok(())
}
