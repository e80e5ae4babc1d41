// SPDX-License-Identifier: Apache-2.0
//
// Main program of a compiled bench: it makes the clock, cocotb conducts.
//
// While a run is under way nobody waits for an edge of the clock, only for its end. So between the
// end of reset and the bench's "finished" the model is evaluated and nothing else; before and after,
// every half cycle goes through the regions of a time step with their callbacks.

#include <cstdint>
#include <cstdio>

#include "Vtop.h"
#include "verilated.h"
#include "verilated_vpi.h"

// cocotb's entry.
extern "C" void vlog_startup_routines_bootstrap();

namespace {

// Half cycles of reset and of the end that are beyond doubt; without a conductor neither comes.
constexpr int kConductedLimit = 10'000;

std::uint64_t now = 0;  // half cycles

void call_value_changes() {
  // A callback may write, which may call another.
  while (VerilatedVpi::callValueCbs()) {
  }
}

// One point in time: the model, and whoever waits for a change of it, until nothing changes.
void settle(Vtop& top) {
  do {
    do {
      top.eval_step();
      VerilatedVpi::clearEvalNeeded();
      VerilatedVpi::doInertialPuts();
      call_value_changes();
    } while (VerilatedVpi::evalNeeded());
    VerilatedVpi::callCbs(cbReadWriteSynch);
    VerilatedVpi::doInertialPuts();
    call_value_changes();
  } while (VerilatedVpi::evalNeeded());
  top.eval_end_step();
  VerilatedVpi::callCbs(cbReadOnlySynch);
}

void begin_next_time() {
  ++now;
  VerilatedVpi::callCbs(cbNextSimTime);
  call_value_changes();
  VerilatedVpi::callTimedCbs();
  call_value_changes();
}

void run_to_the_end(Vtop& top) {
  while (!top.finished && !Verilated::gotFinish()) {
    ++now;
    top.clk = !top.clk;
    top.eval_step();
    top.eval_end_step();
  }
}

void end_conduct(void*) { VerilatedVpi::callCbs(cbEndOfSimulation); }

}  // namespace

// Simulation time, which Verilator asks for.
double sc_time_stamp() { return static_cast<double>(now); }

int main(int count, char** values) {
  Verilated::commandArgs(count, values);
  Vtop top{""};  // no name before that of the bench's module
  Verilated::fatalOnVpiError(false);  // cocotb tries what a simulator may lack
#if VM_TRACE
  Verilated::traceEverOn(true);
#endif
  top.clk = 0;
  vlog_startup_routines_bootstrap();
  Verilated::addExitCb(end_conduct, nullptr);
  VerilatedVpi::callCbs(cbStartOfSimulation);
  call_value_changes();
  int conducted = 0;
  while (!Verilated::gotFinish() && conducted < kConductedLimit) {
    settle(top);
    if (top.rst_n && !top.finished) {
      run_to_the_end(top);
      continue;
    }
    ++conducted;
    begin_next_time();
    top.clk = !top.clk;
  }
  top.final();
  end_conduct(nullptr);
  if (!Verilated::gotFinish()) {
    std::fprintf(stderr, "%%Error: nobody conducts the simulation\n");
    return 1;
  }
  return Verilated::threadContextp()->errorCount() > 0 ? 1 : 0;
}
