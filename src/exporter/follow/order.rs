//! The order in which segments are read. Pure.

use std::collections::HashMap;

use super::segments::Front;

/// The order in which segments are read: oldest first, the active one last.
///
/// By the time of their first lines, because that is all that different writers share; but a clock may jump, so
/// segments of one writer stand in the order of its numbers, in the places that time gave to them.
pub(crate) fn reading_order(fronts: &[(Front, bool)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..fronts.len()).collect();
    order.sort_by_key(|&at| {
        let (front, active) = &fronts[at];
        (*active, front.first.as_ref().map(|(_, _, time)| *time), at)
    });
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, &at) in order.iter().enumerate() {
        let (front, active) = &fronts[at];
        if let (Some((writer, _, _)), false) = (&front.first, active) {
            places.entry(writer).or_default().push(place);
        }
    }
    for places in places.into_values() {
        let mut same_writer: Vec<usize> = places.iter().map(|&place| order[place]).collect();
        same_writer.sort_by_key(|&at| fronts[at].0.first.as_ref().map(|(_, seq, _)| *seq));
        for (place, at) in places.into_iter().zip(same_writer) {
            order[place] = at;
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::follow::segments::tests::front;

    #[test]
    fn the_oldest_is_read_first_and_the_active_one_last_even_after_a_clock_was_set_back() {
        let fronts = [
            (front("a", 200, 50), true),
            (front("a", 100, 90), false),
            (front("b", 1, 95), false),
            (front("a", 1, 99), false),
            (Front::of_file(1, 2), false),
        ];
        assert_eq!(reading_order(&fronts), [4, 3, 2, 1, 0]);
    }

    proptest! {
        #[test]
        fn whatever_the_clock_did_each_writers_segments_are_read_in_its_order_and_the_active_one_last(
            segments in prop::collection::btree_map((0usize..3, 1u64..50), -100i64..100, 0..12),
            nameless in 0u64..3,
        ) {
            let mut fronts: Vec<_> = segments
                .iter()
                .rev()
                .map(|((writer, seq), second)| (front(["a", "b", "c"][*writer], *seq, *second), false))
                .collect();
            fronts.extend((0..nameless).map(|inode| (Front::of_file(1, inode), false)));
            if let Some(first) = fronts.first_mut() {
                first.1 = true;
            }
            let order = reading_order(&fronts);
            let mut all = order.clone();
            all.sort_unstable();
            prop_assert_eq!(all, (0..fronts.len()).collect::<Vec<_>>());
            prop_assert!(order.last().is_none_or(|&at| fronts[at].1));
            for name in ["a", "b", "c"] {
                let of_writer = order.iter().filter(|&&at| !fronts[at].1).filter_map(|&at| {
                    fronts[at].0.first.as_ref().filter(|(writer, _, _)| writer == name).map(|(_, seq, _)| *seq)
                });
                prop_assert!(of_writer.is_sorted());
            }
        }
    }
}
