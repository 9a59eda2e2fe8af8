//! Room that a thread keeps between runs, so that no run allocates.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    static ROOMS: RefCell<HashMap<TypeId, Box<dyn Any>>> = RefCell::default();
}

/// Calls `work` with this thread's room of a type, as the last call left it. After a panic the next
/// call gets a new one.
pub(in super::super) fn with_room<T: Default + 'static, R>(work: impl FnOnce(&mut T) -> R) -> R {
    let id = TypeId::of::<T>();
    let kept = ROOMS.with_borrow_mut(|rooms| rooms.remove(&id));
    let kept = kept.and_then(|room| room.downcast::<T>().ok());
    let mut room = kept.unwrap_or_default();
    let result = work(&mut room);
    ROOMS.with_borrow_mut(|rooms| rooms.insert(id, room));
    result
}
