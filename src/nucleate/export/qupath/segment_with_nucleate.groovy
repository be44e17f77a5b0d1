// For QuPath 0.4 or later. Runs nucleate on the open image and adds its nuclei as detections, with --expand-um as cells.
// Change the first two lines where needed. Results stand beside the image, in nucleate-results.

def nucleate = "nucleate"  // or the full path, such as /home/me/venv/bin/nucleate
def expandUm = 0  // above 0: cells reach this many um beyond their nuclei

def imageData = getCurrentImageData()
if (imageData == null) {
    println "Open an image first."
    return
}
def image = new File(imageData.getServer().getURIs().iterator().next())
def name = image.getName().contains(".") ? image.getName().substring(0, image.getName().lastIndexOf(".")) : image.getName()
def results = new File(image.getParentFile(), "nucleate-results")
def geojson = new File(results, name + ".geojson")

// Runs one command, prints what it says, and stops the script where it fails.
def runCommand = { List<String> command ->
    println command.join(" ")
    def process = new ProcessBuilder(command).redirectErrorStream(true).start()
    process.getInputStream().eachLine { println it }
    if (process.waitFor() != 0)
        throw new RuntimeException("nucleate failed; its last lines say why")
}

runCommand([nucleate, "segment", image.getPath(), "--as", "slide", "--output", results.getPath()])
def export = [nucleate, "export", new File(results, name + ".nucleate").getPath(),
              "--to", "geojson", "--output", geojson.getPath()]
if (expandUm > 0)
    export += ["--expand-um", expandUm.toString()]
runCommand(export)

def found = qupath.lib.io.PathIO.readObjects(geojson)
addObjects(found)
println "${found.size()} nuclei"
