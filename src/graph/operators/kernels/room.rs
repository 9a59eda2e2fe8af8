//! Room that a thread keeps between runs, so that no run allocates.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    static ROOMS: RefCell<HashMap<TypeId, Box<dyn Any>>> = RefCell::default();
}

/// This thread's room of a type, as [`keep_room`] left it; a new one where none was kept.
pub(in super::super) fn take_room<T: Default + 'static>() -> Box<T> {
    let kept = ROOMS.with_borrow_mut(|rooms| rooms.remove(&TypeId::of::<T>()));
    let kept = kept.and_then(|room| room.downcast().ok());
    kept.unwrap_or_default()
}

/// Keeps a room for the next run of this thread.
pub(in super::super) fn keep_room<T: 'static>(room: Box<T>) {
    ROOMS.with_borrow_mut(|rooms| rooms.insert(TypeId::of::<T>(), room));
}
