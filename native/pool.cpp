#include "pool.hpp"

#include <unistd.h>

#include <algorithm>
#include <tuple>

#include "pause.hpp"

namespace recfunnel {
namespace {

constexpr int kSpins = 500;  // about 20 microseconds of pauses

}  // namespace

Pool::Pool(int num_threads)
    : num_threads_(std::max(1, num_threads)),
      process_(getpid()),
      wake_(std::make_unique<std::condition_variable>()) {
  try {
    for (int i = 1; i < num_threads_; ++i) helpers_.emplace_back([this] { help(); });
  } catch (...) {  // the system gives no more threads; those it gave must end before this does
    stop();
    throw;
  }
}

Pool::~Pool() {
  if (getpid() != process_) {  // a forked process has a copy of this, but not the threads
    for (std::thread& helper : helpers_) helper.detach();
    std::ignore = wake_.release();  // would wait for sleepers that are not there to leave it
    return;
  }
  stop();
}

void Pool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_->notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void Pool::run_job(std::int64_t count, int threads, Step step, void* data) {
  const std::unique_lock mine(busy_, std::try_to_lock);
  const std::int64_t wanted = std::min<std::int64_t>({threads, num_threads_, count});
  if (!mine || wanted <= 1 || getpid() != process_) {
    for (std::int64_t i = 0; i < count; ++i) step(data, i, 0);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    next_.store(0, std::memory_order_relaxed);
    count_ = count;
    step_ = step;
    data_ = data;
    open_ = true;
    places_ = static_cast<int>(wanted) - 1;
    joined_ = 0;
    job_.fetch_add(1, std::memory_order_release);
  }
  wake_->notify_all();
  take_tasks(0);
  {
    const std::lock_guard lock(mutex_);
    open_ = false;  // whoever wakes now finds nothing to do
  }
  while (working_.load(std::memory_order_acquire) != 0) pause();
}

void Pool::take_tasks(int worker) {
  for (;;) {
    const std::int64_t index = next_.fetch_add(1, std::memory_order_relaxed);
    if (index >= count_) return;
    step_(data_, index, worker);
  }
}

void Pool::help() {
  std::uint64_t seen = 0;
  for (;;) {
    for (int i = 0; i < kSpins && job_.load(std::memory_order_acquire) == seen; ++i) pause();
    int worker = 0;
    {
      std::unique_lock lock(mutex_);
      wake_->wait(lock, [&] { return stopping_ || job_.load(std::memory_order_relaxed) != seen; });
      if (stopping_) return;
      seen = job_.load(std::memory_order_relaxed);
      if (!open_ || places_ == 0) continue;
      --places_;
      worker = ++joined_;
      working_.fetch_add(1, std::memory_order_relaxed);
    }
    take_tasks(worker);
    working_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace recfunnel
