//! How many connections may be open, in all and from one address.
//!
//! Pure bookkeeping: a place is taken when a connection is accepted and given back when it ends. The
//! table is bounded by the number of places.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::Gauge;

/// The places of a listener. Clones share them.
#[derive(Clone)]
pub struct Places {
    taken: Arc<Mutex<Taken>>,
    most: usize,
    most_per_address: usize,
    connections: Gauge,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection's place; given back when it is dropped.
pub struct Place {
    places: Places,
    address: IpAddr,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// All places are taken.
    Full,
    /// The address has its share.
    AddressFull,
}

impl Places {
    /// No place is taken yet. How many are is kept in `connections`.
    pub fn new(most: usize, most_per_address: usize, connections: Gauge) -> Self {
        Self {
            taken: Arc::default(),
            most,
            most_per_address,
            connections,
        }
    }

    /// Takes a place for a connection from `address`.
    pub fn take(&self, address: IpAddr) -> Result<Place, NoPlace> {
        let mut taken = self.taken();
        if taken.all >= self.most {
            return Err(NoPlace::Full);
        }
        let own = taken.by_address.get(&address).copied().unwrap_or_default();
        if own >= self.most_per_address {
            return Err(NoPlace::AddressFull);
        }
        taken.all += 1;
        taken.by_address.insert(address, own + 1);
        self.connections.increment(1);
        Ok(Place {
            places: self.clone(),
            address,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // A panic cannot leave a count half changed.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Some(own) = taken.by_address.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                taken.by_address.remove(&self.address);
            }
        }
        self.places.connections.decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_by_address() {
        let places = Places::new(3, 2, Gauge::noop());
        let (a, b) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let first = places.take(a).ok();
        let second = places.take(a).ok();
        assert!(first.is_some() && second.is_some());
        assert_eq!(places.take(a).err(), Some(NoPlace::AddressFull));
        let third = places.take(b).ok();
        assert_eq!(places.take(b).err(), Some(NoPlace::Full));
        drop(first);
        assert!(places.take(b).is_ok());
        drop((second, third));
        assert_eq!(places.taken().all, 0);
        assert!(places.taken().by_address.is_empty());
    }
}
