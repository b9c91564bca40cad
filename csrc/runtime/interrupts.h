// Long calls can be interrupted between their units of work.
#pragma once

namespace anypool {

// What the calling thread asks about ten times a second while it runs units: whether to leave the rest.
void set_interrupt_check(bool (*is_interrupted)());

}  // namespace anypool
