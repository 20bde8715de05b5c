import LinkspanBench

LinkspanBenchmark.run()
