// A few threads that help the calling one with a list of tasks.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace recfunnel {

// Helpers inherit the affinity of the thread that makes the pool. They spin for some microseconds
// after a job, as the next query is often there by then, and then sleep.
class Pool {
 public:
  explicit Pool(int num_threads);  // the caller included
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int num_threads() const { return num_threads_; }

  // Calls task(index) for every index from 0 to count - 1, from up to `threads` threads, and
  // returns when all are done. Each thread takes rising indices. When the pool is busy with
  // another caller's job, the caller does everything itself. `task` must not throw.
  template <class Task>
  void run(std::int64_t count, int threads, Task&& task) {
    struct Call {
      static void one(void* data, std::int64_t index, int worker) {
        (*static_cast<std::remove_reference_t<Task>*>(data))(index, worker);
      }
    };
    run_job(count, threads, &Call::one, &task);
  }

 private:
  using Step = void (*)(void* data, std::int64_t index, int worker);

  void run_job(std::int64_t count, int threads, Step step, void* data);
  void help();
  void stop();
  void take_tasks(int worker);

  int num_threads_;
  int process_;  // that made it
  std::vector<std::thread> helpers_;
  std::mutex busy_;  // held by the caller whose job it is

  std::mutex mutex_;  // guards what follows
  std::unique_ptr<std::condition_variable> wake_;
  bool stopping_ = false;
  bool open_ = false;  // a job that helpers may still join
  int places_ = 0;     // helpers that may still join it
  int joined_ = 0;
  std::atomic<std::uint64_t> job_{0};  // number of the last job; rises under the mutex
  std::atomic<int> working_{0};

  std::atomic<std::int64_t> next_{0};
  std::int64_t count_ = 0;
  Step step_ = nullptr;
  void* data_ = nullptr;
};

}  // namespace recfunnel
