// SPDX-License-Identifier: Apache-2.0
// Streams with places that run out, and processes that run side by side: the C simulation that shows
// whether a network stands still at the depths of its streams.
//
// Stands before the vendor's header of the same name on the include path; there a stream holds
// anything, and one process after the other handles a whole frame, so depths do not matter.
//
//   read     waits for a beat;  write  waits for a place
//
// Processes are coroutines of one thread: one runs until it has to wait. Their order does not
// matter: no kernel asks whether a stream is empty, so all orders end the same way. When nobody can
// go on and somebody has not ended, that is a deadlock: `region::run` says who waits for what and
// ends the program with exit code 3. Needs <ucontext.h> (glibc).
#ifndef NIBBLEFLOW_BOUNDED_HLS_STREAM_H_
#define NIBBLEFLOW_BOUNDED_HLS_STREAM_H_

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <ucontext.h>
#include <vector>

namespace nf {

const int deadlock = 3;
// Line buffers stand on the stack; pages that are never touched take no memory.
const size_t stack_bytes = size_t(16) << 20;

struct process {
    std::string name;
    std::function<void()> body;
    std::unique_ptr<char[]> stack;
    ucontext_t context;
    std::string waits; // what for; empty while it can go on
    bool ended;
};

// Processes that run side by side, as the calls of a dataflow region do in hardware.
class region {
    std::vector<std::unique_ptr<process>> processes;
    std::deque<process *> ready;
    process *current;
    ucontext_t outside;

    static void begin() {
        process *mine = now()->current;
        mine->body();
        mine->ended = true;
    }

    void report() const {
        std::printf("deadlock: no process can go on\n");
        // Full streams first: a deeper one may be the way out.
        for (int full = 1; full >= 0; --full)
            for (size_t i = 0; i < processes.size(); ++i) {
                const process &one = *processes[i];
                if (!one.ended && (one.waits.compare(0, 5, "write") == 0) == (full == 1))
                    std::printf("  %s waits to %s\n", one.name.c_str(), one.waits.c_str());
            }
    }

  public:
    region() : current(NULL) {}

    // The region that runs; none outside of `run`.
    static region *&now() {
        static region *running = NULL;
        return running;
    }

    void start(const char *name, const std::function<void()> &body) {
        processes.emplace_back(new process());
        process &added = *processes.back();
        added.name = name;
        added.body = body;
        added.stack.reset(new char[stack_bytes]);
        added.ended = false;
        getcontext(&added.context);
        added.context.uc_stack.ss_sp = added.stack.get();
        added.context.uc_stack.ss_size = stack_bytes;
        added.context.uc_link = &outside;
        makecontext(&added.context, begin, 0);
        ready.push_back(&added);
    }

    // Runs until every process has ended.
    void run() {
        now() = this;
        while (!ready.empty()) {
            current = ready.front();
            ready.pop_front();
            swapcontext(&outside, &current->context);
        }
        now() = NULL;
        for (size_t i = 0; i < processes.size(); ++i) {
            if (!processes[i]->ended) {
                report();
                std::exit(deadlock);
            }
        }
    }

    // Gives way until `wake` is called with what `waiter` is now.
    void wait(process *&waiter, const std::string &what) {
        process *mine = current;
        waiter = mine;
        mine->waits = what;
        swapcontext(&mine->context, &outside);
        mine->waits.clear();
    }

    void wake(process *&waiter) {
        if (waiter == NULL)
            return;
        ready.push_back(waiter);
        waiter = NULL;
    }
};

} // namespace nf

namespace hls {

// One process reads, one writes. Outside of a region nobody waits: a port is fed before and drained
// after, and has room for everything.
template <class Beat> class stream {
    std::string name;
    size_t places;
    std::deque<Beat> beats;
    nf::process *reader;
    nf::process *writer;

    stream(const stream &);
    stream &operator=(const stream &);

  public:
    explicit stream(const char *label, size_t depth = std::numeric_limits<size_t>::max())
        : name(label), places(depth), reader(NULL), writer(NULL) {}

    Beat read() {
        while (beats.empty()) {
            if (nf::region::now() == NULL) {
                std::printf("ERROR: %s is read while empty\n", name.c_str());
                std::exit(2);
            }
            nf::region::now()->wait(reader, "read " + name + ", which is empty");
        }
        const Beat beat = beats.front();
        beats.pop_front();
        if (nf::region::now() != NULL)
            nf::region::now()->wake(writer);
        return beat;
    }

    void write(const Beat &beat) {
        while (beats.size() >= places)
            nf::region::now()->wait(writer,
                                    "write " + name + ", whose places are all taken (" +
                                        std::to_string(places) + ")");
        beats.push_back(beat);
        if (nf::region::now() != NULL)
            nf::region::now()->wake(reader);
    }

    bool empty() const { return beats.empty(); }
    size_t size() const { return beats.size(); }
};

} // namespace hls

#endif
