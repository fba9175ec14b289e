//! Where the rows of a very long list stand, without laying out those that are not seen.
//!
//! Heights are guesses until a row was drawn once; a tree of sums finds the row at a height, and the
//! height of a row, in a number of steps that grows with the logarithm of the rows.

/// Heights of rows, measured or guessed.
#[derive(Clone, Debug, Default)]
pub struct VirtualList {
    heights: Vec<f32>,
    /// Sums over ranges of rows (Fenwick 1994): entry `i` has the rows that end at `i`.
    sums: Vec<f32>,
}

impl VirtualList {
    /// Makes a list of guessed heights.
    #[must_use]
    pub fn new(heights: Vec<f32>) -> Self {
        let mut sums = Vec::with_capacity(heights.len() + 1);
        sums.push(0.0);
        sums.extend_from_slice(&heights);
        for at in 1..sums.len() {
            let above = at + lowest_bit(at);
            let sum = sums.get(at).copied().unwrap_or_default();
            if let Some(parent) = sums.get_mut(above) {
                *parent += sum;
            }
        }
        Self { heights, sums }
    }

    /// Follows a change: so many rows were added in front, and there are so many now. Known heights
    /// stay; `guess` says how high a new row may be.
    pub fn follow(&mut self, added_in_front: usize, count: usize, guess: impl Fn(usize) -> f32) {
        let mut heights = Vec::with_capacity(count);
        heights.extend((0..added_in_front.min(count)).map(&guess));
        let rest = count.saturating_sub(heights.len());
        heights.extend(self.heights.iter().take(rest));
        let known = heights.len();
        heights.extend((known..count).map(&guess));
        *self = Self::new(heights);
    }

    /// Says how high a row is; returns by how much that is more than was thought.
    pub fn measured(&mut self, row: usize, height: f32) -> f32 {
        let Some(known) = self.heights.get_mut(row) else {
            return 0.0;
        };
        let more = height - *known;
        // Half a point is nothing that anybody sees, and sums would gather the error.
        if more.abs() < 0.5 {
            return 0.0;
        }
        *known = height;
        let mut at = row + 1;
        while let Some(sum) = self.sums.get_mut(at) {
            *sum += more;
            at += lowest_bit(at);
        }
        more
    }

    /// Returns how many rows there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.heights.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.heights.is_empty()
    }

    /// Returns how high all rows are together.
    #[must_use]
    pub fn height(&self) -> f32 {
        self.top(self.len())
    }

    /// Returns how high a row is thought to be.
    #[must_use]
    pub fn row_height(&self, row: usize) -> f32 {
        self.heights.get(row).copied().unwrap_or_default()
    }

    /// Returns where a row begins.
    #[must_use]
    pub fn top(&self, row: usize) -> f32 {
        let mut at = row.min(self.len());
        let mut sum = 0.0;
        while at > 0 {
            sum += self.sums.get(at).copied().unwrap_or_default();
            at -= lowest_bit(at);
        }
        sum
    }

    /// Returns the row that lies at a height; the last one for what lies behind.
    #[must_use]
    pub fn row_at(&self, y: f32) -> usize {
        let mut step = self.len().next_power_of_two();
        let (mut row, mut left) = (0, y.max(0.0));
        while step > 0 {
            let next = row + step;
            if let Some(sum) = self.sums.get(next).filter(|sum| **sum <= left) {
                row = next;
                left -= sum;
            }
            step /= 2;
        }
        row.min(self.len().saturating_sub(1))
    }
}

const fn lowest_bit(at: usize) -> usize {
    at & at.wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_where_plain_sums_put_them() {
        let heights: Vec<f32> = (0..1_000u16).map(|i| 20.0 + f32::from(i % 37)).collect();
        let mut list = VirtualList::new(heights.clone());
        let mut plain = heights;
        for (row, height) in [(0, 90.0), (500, 3.0), (999, 41.0), (500, 77.0)] {
            list.measured(row, height);
            plain[row] = height;
        }
        let mut top = 0.0;
        for (row, height) in plain.iter().enumerate() {
            assert!((list.top(row) - top).abs() < 0.1, "row {row}");
            assert_eq!(list.row_at(top + height / 2.0), row);
            top += height;
        }
        assert!((list.height() - top).abs() < 0.1);
        assert_eq!(list.row_at(top + 100.0), 999);
        assert_eq!(list.row_at(-5.0), 0);
    }

    #[test]
    fn known_heights_stay_when_rows_are_added() {
        let mut list = VirtualList::new(vec![10.0; 3]);
        list.measured(1, 50.0);
        list.follow(2, 7, |_| 20.0);
        let heights: Vec<f32> = (0..7).map(|row| list.row_height(row)).collect();
        assert_eq!(heights, [20.0, 20.0, 10.0, 50.0, 10.0, 20.0, 20.0]);
        let empty = VirtualList::default();
        assert!(empty.is_empty());
        assert_eq!(empty.row_at(3.0), 0);
    }
}
