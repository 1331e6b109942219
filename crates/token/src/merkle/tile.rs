//! The coordinates of C2SP tlog-tiles: hashes served as files of up to 256.

use std::fmt::Write;

/// The number of tree levels in a tile.
pub const TILE_HEIGHT: u8 = 8;
/// The number of hashes in a full tile.
pub const TILE_WIDTH: u16 = 256;

/// A tile: `width` hashes of tree level `8 · level`, from index `256 · index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    /// 0 to 7; tile level 0 holds leaf hashes.
    pub level: u8,
    /// The tile's index within its level.
    pub index: u64,
    /// 1 to 256 hashes. Below 256 the tile is partial.
    pub width: u16,
}

impl Tile {
    /// The tile of a tree of `size` at these coordinates; `None` when it has no hash yet.
    pub fn of_tree(level: u8, index: u64, size: u64) -> Option<Self> {
        if level > 7 {
            return None;
        }
        let complete = size >> (level * TILE_HEIGHT);
        let before = index.checked_mul(u64::from(TILE_WIDTH))?;
        let width = complete.checked_sub(before)?.min(u64::from(TILE_WIDTH)) as u16;
        (width > 0).then_some(Self { level, index, width })
    }

    /// The tiles that are new or wider in a tree of `new_size` than in one of `old_size`, lowest
    /// level first: what has to be published when the tree grows.
    pub fn of_growth(old_size: u64, new_size: u64) -> impl Iterator<Item = Self> {
        (0..8u8).flat_map(move |level| {
            let shift = level * TILE_HEIGHT;
            let (old, new) = (old_size >> shift, new_size >> shift);
            let changed = if new > old { old / 256..new.div_ceil(256) } else { 0..0 };
            changed.filter_map(move |index| Self::of_tree(level, index, new_size))
        })
    }

    /// The coordinates of node `(level, index)` of the tree: the tile's level and index, and
    /// which of its hashes. Only levels that are multiples of 8 are stored in tiles; for others,
    /// `None`.
    pub fn position(level: u8, index: u64) -> Option<(u8, u64, u8)> {
        let stored = level < 64 && level.is_multiple_of(TILE_HEIGHT);
        stored.then_some((level / TILE_HEIGHT, index >> 8, (index & 0xff) as u8))
    }

    /// The tree nodes whose hashes make the tile: their level, and their indices in order.
    pub fn nodes(&self) -> (u8, impl Iterator<Item = u64> + use<>) {
        let first = self.index.saturating_mul(u64::from(TILE_WIDTH));
        let width = u64::from(self.width);
        (self.level * TILE_HEIGHT, (0..width).map(move |offset| first.saturating_add(offset)))
    }

    /// The tile's path, such as `tile/0/x001/x234/067` or `tile/1/000.p/5`.
    pub fn path(&self) -> String {
        let mut path = format!("tile/{}/", self.level);
        self.write_index(&mut path);
        path
    }

    /// The path of the entry bundle beside a level 0 tile: `tile/entries/…`.
    pub fn entries_path(&self) -> String {
        let mut path = String::from("tile/entries/");
        self.write_index(&mut path);
        path
    }

    /// Three digits a step, `x` before all but the last; then the width of a partial tile.
    fn write_index(&self, path: &mut String) {
        let digits = self.index.to_string();
        let padded = format!("{digits:0>width$}", width = digits.len().div_ceil(3) * 3);
        let steps = padded.len() / 3;
        for step in 0..steps {
            if step + 1 < steps {
                path.push('x');
            }
            path.push_str(&padded[step * 3..step * 3 + 3]);
            if step + 1 < steps {
                path.push('/');
            }
        }
        if self.width < TILE_WIDTH {
            // Writing to a String does not fail.
            let _ = write!(path, ".p/{}", self.width);
        }
    }
}
