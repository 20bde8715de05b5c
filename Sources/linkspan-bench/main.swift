import LinkspanBench

await LinkspanBenchmark.run()
