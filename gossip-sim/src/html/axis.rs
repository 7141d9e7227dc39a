//! Where values stand in a plot, and how they are written.

/// Most labels of an axis.
const LABELS: f64 = 9.0;

/// Values from one edge of a plot to the other.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    least: f64,
    most: f64,
    is_logarithmic: bool,
    /// Where the edges are.
    edges: (f64, f64),
    ticks: Vec<f64>,
}

impl Axis {
    /// Seconds from the start to the end of a run.
    pub(super) fn time(seconds: f64, edges: (f64, f64)) -> Self {
        let most = seconds.max(1e-3);
        let sixties = [15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0];
        let step = match round_step(most / LABELS) {
            step if step <= 10.0 => step,
            _ => sixties.into_iter().find(|step| most / step <= LABELS).unwrap_or_else(|| round_step(most / LABELS)),
        };
        Self { least: 0.0, most, is_logarithmic: false, edges, ticks: multiples(step, 0.0, most) }
    }

    /// Round values from at most `least` to at least `most`, no more than `labels` of them written.
    pub(super) fn values(least: f64, most: f64, labels: f64, edges: (f64, f64)) -> Self {
        let most = if most > least { most } else { least + 1.0 };
        let step = round_step((most - least) / labels);
        let (least, most) = ((least / step).floor() * step, (most / step).ceil() * step);
        Self { least, most, is_logarithmic: false, edges, ticks: multiples(step, least, most) }
    }

    /// The same with whole numbers alone.
    pub(super) fn counts(least: f64, most: f64, labels: f64, edges: (f64, f64)) -> Self {
        let mut axis = Self::values(least, most, labels, edges);
        axis.ticks.retain(|tick| tick.fract().abs() < 1e-9);
        axis
    }

    /// Each step is a multiple of the one before: for values that differ by powers of ten.
    pub(super) fn logarithmic(least: f64, most: f64, edges: (f64, f64)) -> Self {
        let (least, most) = (least.max(1e-9), most.max(least.max(1e-9) * 1.01));
        let is_long = most / least > 1e3;
        let powers = libm::log10(least).floor() as i32..=libm::log10(most).ceil() as i32;
        let round = |value: f64| move |factor: f64| factor * value;
        let factors: &[f64] = if is_long { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let ticks = powers.flat_map(|power| factors.iter().copied().map(round(libm::pow(10.0, power.into()))));
        let ticks = ticks.filter(|tick| (least * 0.999..=most * 1.001).contains(tick)).collect();
        Self { least, most, is_logarithmic: true, edges, ticks }
    }

    /// Where a value stands; outside of the edges none does.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = if self.is_logarithmic {
            libm::log10(value.max(self.least) / self.least) / libm::log10(self.most / self.least)
        } else {
            (value - self.least) / (self.most - self.least)
        };
        self.edges.0 + share.clamp(0.0, 1.0) * (self.edges.1 - self.edges.0)
    }

    /// The label of a tick if the values are seconds: all have one unit.
    pub(super) fn span(&self, tick: f64) -> String {
        let is_whole = |unit: f64| self.ticks.len() > 1 && self.ticks.iter().all(|tick| tick % unit == 0.0);
        let (unit, name) = match self.ticks.last().copied().unwrap_or(0.0) {
            _ if self.is_logarithmic => return span(tick),
            last if last < 1.0 => (1e-3, "ms"),
            _ if is_whole(3_600.0) => (3_600.0, "h"),
            _ if is_whole(60.0) => (60.0, "min"),
            _ => (1.0, "s"),
        };
        format!("{} {name}", digits(tick / unit))
    }

    pub(super) fn is_logarithmic(&self) -> bool {
        self.is_logarithmic
    }

    pub(super) fn ticks(&self) -> &[f64] {
        &self.ticks
    }
}

fn multiples(step: f64, least: f64, most: f64) -> Vec<f64> {
    let first = (least / step).ceil() as i64;
    let count = ((most - least) / step + 1e-6).floor() as i64;
    (first..=first + count).map(|number| number as f64 * step).filter(|value| *value <= most * 1.000_001).collect()
}

/// The next of 1, 2, 5 times a power of ten.
pub(super) fn round_step(least: f64) -> f64 {
    let power = libm::pow(10.0, libm::log10(least.max(1e-9)).floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= least * 0.999_999).unwrap_or(10.0) * power
}

/// A number with as many digits as can be told apart.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{}M", digits(value / 1e6)),
        size if size >= 1e4 => format!("{}k", digits(value / 1e3)),
        _ => digits(value),
    }
}

fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A time in the unit in which it is easily read.
pub(super) fn span(seconds: f64) -> String {
    match seconds {
        0.0 => "0 s".to_owned(),
        seconds if seconds < 1.0 => format!("{} ms", digits(seconds * 1e3)),
        seconds => format!("{} s", digits(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few_and_within_the_plot() {
        for seconds in [0.4, 5.0, 31.0, 60.0, 202.0, 300.0, 3_700.0, 86_400.0] {
            let axis = Axis::time(seconds, (0.0, 100.0));
            assert!((3..=10).contains(&axis.ticks().len()), "{seconds}: {:?}", axis.ticks());
            assert!(axis.ticks().iter().all(|&tick| tick <= seconds * 1.001), "{seconds}: {:?}", axis.ticks());
            assert!(axis.ticks()[0] == 0.0);
        }
        assert_eq!(Axis::values(0.0, 37.0, 5.0, (0.0, 1.0)).ticks(), [0.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!(Axis::counts(0.0, 2.0, 8.0, (0.0, 1.0)).ticks(), [0.0, 1.0, 2.0]);
        assert_eq!(Axis::logarithmic(0.4, 6.0, (0.0, 1.0)).ticks(), [0.5, 1.0, 2.0, 5.0]);
    }

    #[test]
    fn values_stand_between_the_edges_in_proportion() {
        let axis = Axis::values(10.0, 30.0, 4.0, (100.0, 0.0));
        assert_eq!((axis.place(10.0), axis.place(15.0), axis.place(99.0)), (100.0, 75.0, 0.0));
        let axis = Axis::logarithmic(1.0, 100.0, (0.0, 100.0));
        assert!((axis.place(10.0) - 50.0).abs() < 1e-9 && axis.place(0.0) == 0.0);
    }

    #[test]
    fn numbers_and_times_are_short() {
        let numbers = [0.0, 0.25, 3.125, 42.0, 999.6, 12_345.0, 2_500_000.0].map(number);
        assert_eq!(numbers, ["0", "0.25", "3.12", "42", "1000", "12.3k", "2.5M"]);
        assert_eq!([0.0, 0.0123, 1.5, 45.0, 300.0].map(span), ["0 s", "12.3 ms", "1.5 s", "45 s", "300 s"]);
        let labels = |seconds: f64| {
            Axis::time(seconds, (0.0, 1.0)).ticks()[..3]
                .iter()
                .map(|&tick| Axis::time(seconds, (0.0, 1.0)).span(tick))
                .collect::<Vec<_>>()
        };
        assert_eq!(labels(0.8), ["0 ms", "100 ms", "200 ms"]);
        assert_eq!(labels(202.0), ["0 s", "30 s", "60 s"]);
        assert_eq!(labels(300.0), ["0 min", "1 min", "2 min"]);
        assert_eq!(labels(20_000.0), ["0 h", "1 h", "2 h"]);
    }
}
