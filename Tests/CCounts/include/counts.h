#pragma once

/// What the threads of this process did that were not left out.
struct counts {
    /// Calls of malloc and the like.
    unsigned long allocations;
    /// System calls that write to a socket, or to anything else.
    unsigned long writes;
    /// System calls that read.
    unsigned long reads;
    /// Calls of pthread_mutex_lock, contended or not.
    unsigned long locks;
};

struct counts counts_now(void);

/// Whether what the calling thread does is left out from now on.
void counts_leave_out_this_thread(int leaves_out);

/// False where nothing is counted: a sanitizer has malloc to itself.
int counts_are_taken(void);
