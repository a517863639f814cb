//! A histogram's value: observations by upper bound, and their sum. The bounds belong to the family.

use serde::{Deserialize, Serialize};

/// Observations of one series. Empty until the first one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Histogram {
    /// One count a bound and one above the last; each observation is in one of them.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    pub(crate) fn observe(&mut self, value: f64, bounds: &[f64]) {
        self.counts.resize(bounds.len() + 1, 0);
        self.counts[bounds.partition_point(|&bound| bound < value)] += 1;
        self.sum += value;
    }

    /// Whether it was made with these bounds: a decoded histogram has to be asked.
    pub(crate) fn fits(&self, bounds: &[f64]) -> bool {
        self.counts.is_empty() || self.counts.len() == bounds.len() + 1
    }

    pub(crate) fn sum(&self) -> f64 {
        self.sum
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// For each bound the number of observations at or below it, as the exposition wants them.
    pub(crate) fn cumulative<'h>(&'h self, bounds: &'h [f64]) -> impl Iterator<Item = (f64, u64)> + 'h {
        let mut below = 0;
        bounds.iter().enumerate().map(move |(at, &bound)| {
            below += self.counts.get(at).copied().unwrap_or(0);
            (bound, below)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_at_a_bound_is_within_it() {
        let bounds = [1.0, 10.0];
        let mut histogram = Histogram::default();
        for value in [0.0, 1.0, 1.5, 10.0, 99.0] {
            histogram.observe(value, &bounds);
        }
        assert_eq!(histogram.cumulative(&bounds).collect::<Vec<_>>(), [(1.0, 2), (10.0, 4)]);
        assert_eq!((histogram.count(), histogram.sum()), (5, 111.5));
    }
}
