// Python's lock, given back while a call computes.
#pragma once

#include <Python.h>
#include <unistd.h>

#include <utility>

namespace recfunnel {

// Holds no lock until lock() or its end.
//
// A daemon thread may be in a call when the interpreter ends. Up to Python 3.13 asking for the lock
// then unwinds the thread, which must not leave a destructor: the process would abort. Such a
// thread sleeps instead until the process is gone, as it does from Python 3.14 on.
class Unlocked {
 public:
  Unlocked() : state_(PyEval_SaveThread()) {}
  ~Unlocked() { lock(); }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

  void lock() {
    if (state_ == nullptr) return;
    try {
      PyEval_RestoreThread(std::exchange(state_, nullptr));
    } catch (...) {
      for (;;) ::pause();
    }
  }

 private:
  PyThreadState* state_;
};

}  // namespace recfunnel
