import LinkspanCommand

await LinkspanApp.run()
